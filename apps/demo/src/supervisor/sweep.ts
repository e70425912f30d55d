import { Redis } from 'ioredis';

/** Takes a scenario's own keys off a server. */
export async function sweep(url: string, pattern: string): Promise<void> {
  const redis = new Redis(url);
  let cursor = '0';
  do {
    const [next, found] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', 1_000);
    for (const key of found) await redis.del(key);
    cursor = next;
  } while (cursor !== '0');
  redis.disconnect();
}
