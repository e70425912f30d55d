import { compareStreamIds } from '../kernel/stream-id.js';
import type { RedisConnection } from '../redis/connection.js';

const COUNT_AT_ONCE = 1_000;
/** A stream whose first entries go faster than they are counted is not counted. */
const TRIES = 3;
const UNKNOWN = { count: -1, first: '-' } as const;

export interface Counted {
  readonly count: number;
  readonly first: string;
}

/** Calls with a count of the entries up to `id` until it is accepted; at last with none. */
export async function withCount<T>(redis: RedisConnection, key: string, id: string, call: (counted: Counted) => Promise<T | undefined>): Promise<T | undefined> {
  for (let tries = 0; tries < TRIES; tries++) {
    const result = await call(await countUpTo(redis, key, id));
    if (result !== undefined) return result;
  }
  return call(UNKNOWN);
}

/** Entries from the first up to `id`, in pieces, so that counting a million holds nobody up. */
async function countUpTo(redis: RedisConnection, key: string, id: string): Promise<Counted> {
  let first = '';
  let from = '-';
  for (let count = 0; ; ) {
    const entries = (await redis.commands.call('XRANGE', [key, from, '+', 'COUNT', COUNT_AT_ONCE])) as Array<[string, unknown]>;
    if (first === '') first = String(entries[0]?.[0] ?? '');
    const within = entries.filter(([entry]) => compareStreamIds(String(entry), id) <= 0).length;
    count += within;
    if (within < entries.length || entries.length < COUNT_AT_ONCE) return { count, first };
    from = `(${String(entries.at(-1)![0])}`;
  }
}
