import type { QueueShardKeys } from '../../../libs/redis-streams/dist/keys/queue-keys.js';
import type { RedisStreamsEngine as Engine, RedisStreamsError as LibraryError } from '../../../libs/redis-streams/dist/queue/index.js';
import { load } from '../library.js';

export const { RedisStreamsEngine, RedisStreamsError } = (await load('queue/index.js')) as { RedisStreamsEngine: typeof Engine; RedisStreamsError: typeof LibraryError };
export type RedisStreamsEngine = Engine;
export type { ConnectionOptions, QueueProducerOptions, QueueSendOptions, QueueTuning } from '../../../libs/redis-streams/dist/queue/index.js';
export type { QueueShardKeys } from '../../../libs/redis-streams/dist/keys/queue-keys.js';

const { queueShardKeys } = (await load('keys/queue-keys.js')) as { queueShardKeys(tag: string): QueueShardKeys };
const { shardTags } = (await load('kernel/shard-tags.js')) as { shardTags(name: string, shards: number, slotOf: (tag: string) => number): string[] };
export const { slotOf } = (await load('redis/slot.js')) as { slotOf(key: string): number };

/** Names of a queue's keys by shard, for looking at the server past the library. */
export function keysOf(queue: string, shards: number): QueueShardKeys[] {
  return shardTags(`queue:${queue}`, shards, slotOf).map(queueShardKeys);
}
