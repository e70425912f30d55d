import { Redis } from 'ioredis';

/** Whether a Redis answers there within `ms`. @returns the last error, or undefined when it does. */
export async function reach(url: string, ms: number): Promise<string | undefined> {
  const deadline = Date.now() + ms;
  for (;;) {
    const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null, connectTimeout: 1_000, maxRetriesPerRequest: 0 });
    let last = '';
    redis.on('error', (error: Error) => (last = error.message));
    try {
      await redis.connect();
      await redis.ping();
      return undefined;
    } catch (error) {
      last = last || (error as Error).message;
    } finally {
      redis.disconnect();
    }
    if (Date.now() >= deadline) return last;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
