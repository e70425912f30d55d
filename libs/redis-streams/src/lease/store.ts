import { announcerKey, leaseKeys, type LeaseKeys } from '../keys/lease-keys.js';
import { streamsOf, type Argument } from '../redis/compat.js';
import type { RedisConnection } from '../redis/connection.js';

export type GrantSource = 'new' | 'takeover' | 'retrying' | 'released' | 'held';

/** One stream handed to this session, undecoded. */
export interface Grant {
  readonly entryId: string;
  /** Kept as bytes: a name that is not UTF-8 must still be settled under its very bytes. */
  readonly stream: Buffer;
  readonly payload: Buffer;
  readonly token: number;
  readonly attempt: number;
  readonly failures: number;
  readonly previous?: string;
  readonly checkpoint?: string;
  readonly source: GrantSource;
  /** Dead owners in a row, this takeover included. */
  readonly takeovers: number;
}

export interface AcquireRequest {
  readonly session: string;
  readonly want: number;
  readonly mode: 'fair' | 'any';
  readonly claim: 'auto' | 'manual';
  readonly maxBytes: number;
  readonly maxEntryBytes: number;
  readonly avoidMs: number;
  readonly offered: readonly string[];
}

/** What the server saw while it acquired. */
export interface Survey {
  readonly createdGroup: boolean;
  /** Pending for this session, the grants of this call included. */
  readonly mine: number;
  readonly share: number;
  readonly members: number;
  readonly undelivered: number;
  readonly orphans: number;
  readonly due: number;
  /** Ms until the earliest free stream is due, or -1. */
  readonly nextDueMs: number;
  /** Ms until the earliest deadline of a peer, or -1. */
  readonly nextPeerMs: number;
}

export type AcquireReply =
  | { readonly status: 'lost' }
  | { readonly status: 'ok'; readonly grants: Grant[]; readonly rejects: Array<{ id: string; reason: string }>; readonly survey: Survey };

export type SettleOperation = 'done' | 'checkpoint' | 'release' | 'retry' | 'dead';

/** A number, which is a token, answers `raise` alone. */
export type SettleStatus = 'OK' | 'FENCED' | `${number}`;

export interface SettleItem {
  /** `raise`: a higher token for a lease of this session, which is the status. */
  readonly operation: SettleOperation | 'raise';
  readonly stream: string | Buffer;
  readonly token: number;
  readonly a: string;
  readonly b: string;
}

export type ClaimReply = { readonly status: 'claimed'; readonly grant: Grant } | { readonly status: 'taken'; readonly owner: string } | { readonly status: 'gone' } | { readonly status: 'lost' };

/** All Redis I/O of the lease capability that changes something, or that its consumers need. */
export class LeaseStore {
  readonly keys: LeaseKeys;

  constructor(
    private readonly redis: RedisConnection,
    service: string,
  ) {
    this.keys = leaseKeys(service);
  }

  async acquire(request: AcquireRequest): Promise<AcquireReply> {
    const k = this.keys;
    const reply = (await this.redis.scripts.run(
      'lease-acquire',
      [k.lbs, k.sessions, k.members, k.leases, k.checkpoints, k.free, k.followUps, k.epoch, k.dead, k.names, k.settled],
      [
        request.session, k.group, k.bell, request.want, request.mode, request.claim, request.maxBytes,
        request.maxEntryBytes, request.avoidMs, ...request.offered,
      ],
      { buffers: true },
    )) as [Buffer, Buffer[][], Buffer[][], number[]];
    if (String(reply[0]) === 'LOST') return { status: 'lost' };
    const [created, mine, share, members, undelivered, orphans, due, nextDueMs, nextPeerMs] = reply[3].map(Number) as [
      number, number, number, number, number, number, number, number, number,
    ];
    return {
      status: 'ok',
      grants: reply[1].map(readGrant),
      rejects: reply[2].map((row) => ({ id: String(row[0]), reason: String(row[1]) })),
      survey: { createdGroup: created === 1, mine, share, members, undelivered, orphans, due, nextDueMs, nextPeerMs },
    };
  }

  /** @returns a status per item, or undefined when the session is dead: nothing was applied. */
  async settle(session: string, sequence: number, items: readonly SettleItem[]): Promise<readonly SettleStatus[] | undefined> {
    const k = this.keys;
    const args: Argument[] = [session, k.group, k.bell, sequence];
    for (const { operation, stream, token, a, b } of items) args.push(operation, stream, String(token), a, b);
    const reply = (await this.redis.scripts.run(
      'lease-settle',
      [k.lbs, k.sessions, k.leases, k.checkpoints, k.free, k.followUps, k.dead, k.settled, k.epoch],
      args,
    )) as string[];
    return reply[0] !== 'OK' ? undefined : (reply.slice(1) as SettleStatus[]);
  }

  async claim(session: string, stream: string): Promise<ClaimReply> {
    const k = this.keys;
    const reply = (await this.redis.scripts.run(
      'lease-claim',
      [k.lbs, k.sessions, k.leases, k.checkpoints, k.free, k.epoch],
      [session, k.group, stream],
      { buffers: true },
    )) as [Buffer, unknown];
    switch (String(reply[0])) {
      case 'CLAIMED':
        return { status: 'claimed', grant: readGrant(reply[1] as Buffer[]) };
      case 'TAKEN':
        return { status: 'taken', owner: String(reply[1]) };
      case 'LOST':
        return { status: 'lost' };
      default:
        return { status: 'gone' };
    }
  }

  async expired(limit: number): Promise<Array<{ stream: string; entryId: string; owner: string; token: number }>> {
    const k = this.keys;
    const rows = (await this.redis.scripts.run('lease-expired', [k.lbs, k.sessions, k.leases, k.free], [k.group, limit, k.bell])) as string[][];
    return rows.map((row) => ({ stream: row[0]!, entryId: row[1]!, owner: row[2]!, token: Number(row[3]) }));
  }

  /** Takes the session out of the fair share; it keeps what it holds. */
  async retire(session: string): Promise<void> {
    await this.redis.scripts.run('lease-retire', [this.keys.sessions, this.keys.members], [session, this.keys.bell]);
  }

  /** Moves what is pending for the session to the pool, then forgets the session. */
  async leave(session: string, name: string): Promise<void> {
    const k = this.keys;
    for (;;) {
      const reply = (await this.redis.scripts.run(
        'lease-leave',
        [k.lbs, k.sessions, k.members, k.names, k.leases, k.free, k.settled],
        [session, name, k.group, k.bell, 200],
      )) as [string, number];
      if (reply[0] === 'LEFT') return;
    }
  }

  /** Ids pending for a session, for comparing with what it knows; `after` pages. */
  async pendingOf(session: string, after: string | undefined, count: number): Promise<string[]> {
    const { lbs, group } = this.keys;
    const rows = (await this.redis.commands.call('XPENDING', [lbs, group, after ? `(${after}` : '-', '+', count, session])) as unknown[][];
    return rows.map((row) => String(row[0]));
  }

  async announce(announcer: string, sequence: number, keepMs: number, items: ReadonlyArray<{ stream: string; payload: string; dedupe: string }>): Promise<string[]> {
    const { lbs, leases } = this.keys;
    const args: Argument[] = [sequence, keepMs];
    for (const { stream, payload, dedupe } of items) args.push(stream, payload, dedupe);
    return (await this.redis.scripts.run('lease-announce', [lbs, leases, announcerKey(this.keys, announcer)], args)) as string[];
  }

  /** Ids read by XREADGROUP for the session; the payload is left to `acquire`. */
  static idsOf(reply: unknown): string[] {
    return streamsOf(reply).flatMap(([, entries]) => entries.map((entry) => String((entry as unknown[])[0])));
  }
}

function readGrant(row: readonly unknown[]): Grant {
  const previous = String(row[6]);
  const checkpoint = String(row[7]);
  return {
    entryId: String(row[0]),
    stream: row[1] as Buffer,
    payload: row[2] as Buffer,
    token: Number(String(row[3])),
    attempt: Number(row[4]),
    failures: Number(row[5]),
    ...(previous === '-' ? {} : { previous }),
    ...(checkpoint === '' ? {} : { checkpoint }),
    source: String(row[9]) as GrantSource,
    takeovers: Number(row[10]),
  };
}
