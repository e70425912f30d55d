import { expect, it } from 'vitest';
import { PartitionReader } from '../../../libs/redis-streams/src/partition/lanes.js';
import type { ReaderHost } from '../../../libs/redis-streams/src/partition/reader.js';
import type { RedisConnection } from '../../../libs/redis-streams/src/redis/connection.js';

it('keeps no connection that was opened ahead and is ready after the end', async () => {
  let opened = (): void => undefined;
  const opening = new Promise<void>((resolve) => (opened = resolve));
  let isOpen = true;
  const channel = { read: () => opening, close: () => void (isOpen = false) };
  const reader = new PartitionReader({ isCluster: false, readingFor: () => channel } as unknown as RedisConnection, {} as ReaderHost);
  const warm = reader.warmUp('key');
  await reader.stop();
  opened();
  await warm;
  expect(isOpen).toBe(false);
});
