import { ConnectionError } from '../errors/index.js';
import type { StreamMessage } from '../kernel/xread-parser.js';
import type { QueueGroupKeys, QueueShardKeys } from '../keys/queue-keys.js';
import type { RedisConnection } from '../redis/connection.js';
import { bulk } from '../redis/wire.js';
import { HeldMessage } from './held-message.js';

const PAGE = 1_000;
/** Of messages that one look brings, about. */
const MAX_BYTES = 4_194_304;

/** What one look at a shard brought. */
export interface Look {
  readonly taken: readonly HeldMessage[];
  /** Until something is due; undefined: nothing is. */
  readonly nextDueMs: number | undefined;
  readonly nextPeerMs: number;
  /** Messages the server counts as ours. */
  readonly mine: number;
  /** There is more to take, as soon as there is room. */
  readonly more: boolean;
  readonly paused: boolean;
  /** Why delayed messages that are due cannot join the queue. */
  readonly refused: string | undefined;
}

export interface RetriedMessage {
  readonly held: HeldMessage;
  readonly delayMs: number;
}

export interface GivenUpMessage {
  readonly held: HeldMessage;
  readonly fields: readonly string[];
}

/** What became of messages, to be told in one call. */
export interface Outcomes {
  readonly done: readonly HeldMessage[];
  readonly again: readonly RetriedMessage[];
  readonly givenUp: readonly GivenUpMessage[];
}

/** Redis I/O of one group in one shard of a queue. */
export class QueueShardStore {
  readonly own: QueueGroupKeys;

  constructor(
    private readonly redis: RedisConnection,
    readonly keys: QueueShardKeys,
    readonly group: string,
  ) {
    this.own = keys.group(group);
  }

  /** Makes the group where there is none. `from`: an entry id after which it begins, or `$`. */
  async createGroup(from: string): Promise<void> {
    try {
      await this.redis.commands.call('XGROUP', ['CREATE', this.keys.messages, this.group, from, 'MKSTREAM']);
    } catch (error) {
      if (!(error as Error).message.startsWith('BUSYGROUP')) throw error;
    }
  }

  /** Takes at most `want` messages that dead consumers held or whose time has come. Undefined: the session is over. */
  async look(session: string, want: number): Promise<Look | undefined> {
    const { keys, own } = this;
    const [status, due, peer, mine, more, paused, refused, ...taken] = (await this.redis.scripts.run(
      'queue-look',
      [keys.messages, own.sessions, own.members, own.retries, own.attempts, keys.delayed, own.control, keys.dead, own.names],
      [session, this.group, want, MAX_BYTES],
    )) as [string, ...unknown[]];
    if (status === 'LOST') return undefined;
    const messages: HeldMessage[] = [];
    for (let i = 0; i < taken.length; i += 5) {
      const [id, fields, failures, crashes, orphan] = taken.slice(i, i + 5);
      messages.push(new HeldMessage(messageOf(String(id), fields as unknown[]), Number(failures), Number(crashes), Number(orphan) === 1, true));
    }
    return { taken: messages, nextDueMs: Number(due) < 0 ? undefined : Number(due), nextPeerMs: Number(peer), mine: Number(mine), more: Number(more) === 1, paused: Number(paused) === 1, refused: refused ? String(refused) : undefined };
  }

  /** Undefined: the session is over. Else in how many ms the first retry is due, or -1. */
  async settle(session: string, { done, again, givenUp }: Outcomes): Promise<number | undefined> {
    const { keys, own } = this;
    let text = '';
    let count = done.length;
    let known = 0;
    for (const held of done) {
      if (!held.recorded) continue;
      known++;
      text += bulk(held.id);
    }
    for (const held of done) if (!held.recorded) text += bulk(held.id);
    for (const { held, delayMs } of again) {
      text += bulk(held.id) + bulk(held.mark) + bulk(String(delayMs));
      count += 3;
    }
    for (const { held, fields } of givenUp) {
      text += bulk(held.id) + bulk(String(fields.length));
      for (const field of fields) text += bulk(field);
      count += 2 + fields.length;
    }
    const reply = await this.redis.scripts.run(
      'queue-settle',
      [keys.messages, own.sessions, own.retries, own.attempts, keys.dead],
      [session, this.group, keys.bell, done.length, known, again.length, givenUp.length],
      { more: { count, bytes: Buffer.from(text) } },
    );
    return reply === 'LOST' ? undefined : Number(reply);
  }

  /** Says that these are about to be handled. @returns false: the session is over */
  async begin(session: string, held: readonly HeldMessage[]): Promise<boolean> {
    const marks = held.flatMap(({ id, failures, crashes }) => [id, failures, crashes]);
    return (await this.redis.scripts.run('queue-begin', [this.own.sessions, this.own.attempts], [session, ...marks])) === 'OK';
  }

  /** Ids of all messages the server counts as held by the session, and how often each was given to somebody. */
  async heldBy(session: string): Promise<Map<string, number>> {
    const held = new Map<string, number>();
    for (let from = '-'; ; ) {
      const rows = (await this.redis.commands.call('XPENDING', [this.keys.messages, this.group, from, '+', PAGE, session])) as Array<[id: string, consumer: string, idle: number, deliveries: number]>;
      for (const [id, , , deliveries] of rows) held.set(String(id), Number(deliveries));
      if (rows.length < PAGE) return held;
      from = `(${String(rows.at(-1)![0])}`;
    }
  }

  /** Ends the session; what it holds goes to others. */
  async leave(session: string, name: string): Promise<void> {
    const { keys, own } = this;
    for (;;) {
      const reply = await this.redis.scripts.run(
        'queue-leave',
        [keys.messages, own.sessions, own.members, own.names, own.retries, own.attempts],
        [session, name, this.group, keys.bell, PAGE],
      );
      if (reply === 'LEFT') return;
      if (reply !== 'MORE') throw new ConnectionError(`unexpected reply ${String(reply)}`);
    }
  }
}

function messageOf(id: string, fields: readonly unknown[]): StreamMessage {
  const known: { key?: string; data?: string; headers?: string } = {};
  const other: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [name, value] = [String(fields[i]), String(fields[i + 1])];
    if (name === 'key' || name === 'data' || name === 'headers') known[name] = value;
    else other.push(name, value);
  }
  return { id, key: known.key, data: known.data, headers: known.headers, other: other.length > 0 ? other : undefined };
}
