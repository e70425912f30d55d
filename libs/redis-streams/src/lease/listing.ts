import { parseLeaseRecord, type LeaseRecord } from '../kernel/lease-record.js';
import { leaseKeys } from '../keys/lease-keys.js';
import { fieldsOf } from '../redis/compat.js';
import type { RedisConnection } from '../redis/connection.js';
import type { LeaseMember, LeaseState, LeaseStats, LeaseView } from './types.js';

export interface LeaseQuery {
  /** Only leases in these states. Default: all. */
  readonly states?: readonly LeaseState[];
  /** Only leases of this session id or consumer name. */
  readonly owner?: string;
  /** Rows at most. Default 1,000. */
  readonly limit?: number;
}

export interface LeaseDeadLetterQuery {
  /** Rows at most. Default 100. */
  readonly limit?: number;
  /** Only entries after this id of the dead-letter stream. */
  readonly after?: string;
}

/** One entry of the dead-letter stream `{<service>-input}:dead`. */
export interface LeaseDeadLetter {
  readonly id: string;
  /** missing-field, too-large, too-deep, invalid-json, invalid-utf8, missing-stream-name, invalid-stream-name, invalid-info, forbidden-key, max-attempts, or the handler's own. */
  readonly reason: string;
  readonly stream?: string;
  readonly error?: string;
  /** Grants it had. */
  readonly attempts: number;
  /** Everything recorded, the announcement's own fields as `entry.<field>`. */
  readonly fields: Readonly<Record<string, string>>;
}

const SCAN_COUNT = 500;

export async function listLeases(redis: RedisConnection, service: string, query: LeaseQuery): Promise<LeaseView[]> {
  const keys = leaseKeys(service);
  const [time, members] = await Promise.all([
    redis.commands.call('EVAL', ["return redis.call('TIME')", 1, keys.lbs]) as Promise<[string, string]>,
    redis.commands.call('ZRANGE', [keys.sessions, 0, -1, 'WITHSCORES']) as Promise<unknown[]>,
  ]);
  const now = Number(time[0]) * 1_000 + Math.floor(Number(time[1]) / 1_000);
  const deadlines = new Map(pairs(members));
  const limit = query.limit ?? 1_000;
  const views = new Map<string, LeaseView>();
  let cursor = '0';
  do {
    const [next, flat] = (await redis.commands.call('HSCAN', [keys.leases, cursor, 'COUNT', SCAN_COUNT])) as [string, unknown];
    cursor = String(next);
    for (const [stream, raw] of fieldsOf(flat)) {
      const record = parseLeaseRecord(String(raw));
      if (!record) continue;
      const view = toView(stream, record, now, deadlines);
      if (query.states && !query.states.includes(view.state)) continue;
      if (query.owner && view.owner !== query.owner && view.owner?.split(':')[0] !== query.owner) continue;
      views.set(stream, view); // HSCAN may show one field twice
    }
  } while (cursor !== '0' && views.size < limit);
  const rows = [...views.values()].slice(0, limit);
  if (rows.length === 0) return rows;
  const checkpoints: Array<string | null> = [];
  for (let i = 0; i < rows.length; i += SCAN_COUNT) {
    const streams = rows.slice(i, i + SCAN_COUNT).map(({ stream }) => stream);
    checkpoints.push(...((await redis.commands.call('HMGET', [keys.checkpoints, ...streams])) as Array<string | null>));
  }
  return rows.map((row, i) => (checkpoints[i] ? { ...row, checkpoint: checkpoints[i] } : row));
}

function toView(stream: string, record: LeaseRecord, now: number, deadlines: ReadonlyMap<string, number>): LeaseView {
  const { entryId, token, attempt, failures, since } = record;
  const unowned = record.owner === 'queued' || record.owner === 'retrying' || record.owner === 'released';
  const state = unowned ? (record.owner as LeaseState) : (deadlines.get(record.owner) ?? 0) > now ? 'held' : 'expired';
  const owner = unowned ? record.previous : record.owner;
  return { stream, entryId, state, token, attempt, failures, ageMs: Math.max(0, now - since), ...(owner ? { owner } : {}) };
}

/** ZRANGE WITHSCORES: flat under RESP2, pairs under RESP3. */
function pairs(reply: unknown[]): Array<[string, number]> {
  const flat = reply.flat() as unknown[];
  const list: Array<[string, number]> = [];
  for (let i = 0; i + 1 < flat.length; i += 2) list.push([String(flat[i]), Number(flat[i + 1])]);
  return list;
}

export async function readStats(redis: RedisConnection, service: string): Promise<LeaseStats> {
  const keys = leaseKeys(service);
  const reply = (await redis.scripts.run(
    'lease-stats',
    [keys.lbs, keys.sessions, keys.members, keys.free, keys.followUps, keys.dead],
    [keys.group],
  )) as [number, number, number, number, number, number, ...Array<[string, number, number, number]>];
  const [undelivered, pending, free, followUps, deadLetters, , ...rows] = reply;
  const members: LeaseMember[] = rows.map(([session, held, capacity, deadlineInMs]) => ({
    session,
    live: Number(deadlineInMs) > 0,
    held: Number(held),
    capacity: Number(capacity),
    deadlineInMs: Number(deadlineInMs),
  }));
  const held = members.reduce((sum, member) => sum + (member.live ? member.held : 0), 0);
  return { service, undelivered, held, expired: Math.max(0, pending - held - free - followUps), free, followUps, deadLetters, members };
}

export async function listDeadLetters(redis: RedisConnection, service: string, query: LeaseDeadLetterQuery): Promise<LeaseDeadLetter[]> {
  const rows = (await redis.commands.call('XRANGE', [
    leaseKeys(service).dead, query.after ? `(${query.after}` : '-', '+', 'COUNT', query.limit ?? 100,
  ])) as Array<[string, string[]]>;
  return rows.map(([id, flat]) => {
    const fields = Object.create(null) as Record<string, string>;
    for (let i = 0; i + 1 < flat.length; i += 2) fields[String(flat[i])] = String(flat[i + 1]);
    return {
      id,
      reason: fields['reason'] ?? 'unknown',
      ...(fields['stream'] ? { stream: fields['stream'] } : {}),
      ...(fields['error'] ? { error: fields['error'] } : {}),
      attempts: Number(fields['attempts'] ?? 0),
      fields,
    };
  });
}
