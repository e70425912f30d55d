import { compareStreamIds } from '../kernel/stream-id.js';
import type { RedisConnection } from '../redis/connection.js';

const COUNT_AT_ONCE = 1_000;

/** Entries from the first up to `id`, in pieces, so that counting a million holds nobody up. */
export async function countUpTo(redis: RedisConnection, key: string, id: string): Promise<{ count: number; first: string }> {
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
