import calculateSlot from 'cluster-key-slot';
import { describe, expect, it } from 'vitest';
import { placeOf, type Capabilities } from '../../../libs/redis-streams/dist/dead-letters/places.js';
import type { DeadLetterSource } from '../../../libs/redis-streams/dist/dead-letters/types.js';
import { resolveFanout } from '../../../libs/redis-streams/dist/fanout/options.js';
import { RoomStore } from '../../../libs/redis-streams/dist/fanout/store.js';
import { shardTags } from '../../../libs/redis-streams/dist/kernel/shard-tags.js';
import { deadLetterWorkKey } from '../../../libs/redis-streams/dist/keys/dead-letter-keys.js';
import { queueShardKeys } from '../../../libs/redis-streams/dist/keys/queue-keys.js';
import type { KnownStream } from '../../../libs/redis-streams/dist/partition/registration.js';
import type { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';

const SHARDS = 5;
const SOURCES: readonly DeadLetterSource[] = [{ kind: 'lease', service: 'a:b' }, { kind: 'partition', stream: 's', group: 'g', namespace: 'ns' }, { kind: 'fanout' }, { kind: 'queue', queue: 'q' }];

/** A server that merely writes down script and keys. */
function recorder(): { seen: Array<readonly [script: string, keys: readonly string[], args: readonly unknown[]]>; capabilities: Capabilities } {
  const seen: Array<readonly [string, readonly string[], readonly unknown[]]> = [];
  const redis = { scripts: { run: (script: string, keys: readonly string[], args: readonly unknown[]) => (seen.push([script, keys, args]), Promise.resolve(['OK'])) } } as unknown as RedisConnection;
  const options = resolveFanout({ shards: SHARDS }).value;
  return {
    seen,
    capabilities: {
      redis, namespace: { partition: undefined, queue: 'shop' },
      stream: (stream) => Promise.resolve({ stream, partitions: 20, shards: SHARDS, partitioner: 'murmur2', maxEntries: 9, keepMs: 0, whenFull: 'reject', partition: undefined } satisfies KnownStream),
      queue: (queue) => Promise.resolve({ queue, keys: shardTags(`queue:${queue}`, SHARDS, calculateSlot).map(queueShardKeys) }),
      rooms: () => Promise.resolve(Array.from({ length: SHARDS }, (_, shard) => new RoomStore(redis, options, shard))),
    },
  };
}

describe.each(SOURCES)('the place of $kind', (source) => {
  it('has the keys of each replay in one slot, whatever the letters say', async () => {
    const { seen, capabilities } = recorder();
    const place = await placeOf(source, capabilities);
    expect(place.dead).toHaveLength(source.kind === 'lease' ? 1 : SHARDS);
    for (const [shard, dead] of place.dead.entries()) {
      const letters = [0, 1, 5, 17, '0x1', '', '-1', '1e0', undefined].map((partition, n) => ({ shard, id: `${n}-0`, fields: { ...(partition === undefined ? {} : { partition: String(partition), room: `{x${partition}}` }) } }));
      await place.replay({ shard, work: deadLetterWorkKey(dead, 'id'), batch: 1, keepMs: 1, letters });
    }
    expect(seen.map(([script]) => script)).toEqual(place.dead.map(() => `${source.kind}-replay`));
    for (const [, keys] of seen) expect(new Set(keys.map(calculateSlot)).size).toBe(1);
    for (const [, , args] of seen) expect(args.slice(-9)).toEqual(Array.from({ length: 9 }, (_, n) => `${n}-0`));
  });
});

it('names a source as logs show it, with the namespace that holds for it', async () => {
  const names = await Promise.all([...SOURCES, { kind: 'fanout', room: 'r' } as const, { kind: 'queue', queue: 'q', group: 'g' } as const].map(async (source) => (await placeOf(source, recorder().capabilities)).name));
  expect(names).toEqual(['a:b', 'ns:s#g', 'all rooms', 'shop:q', 'room "r"', 'shop:q#g']);
});

it.each(SOURCES)('of the kind $kind has no other words: a misspelt room or group does not mean all', async (source) => {
  const problems = [expect.objectContaining({ path: 'source.rooom' })];
  await expect(placeOf({ ...source, rooom: 'r' } as unknown as DeadLetterSource, recorder().capabilities)).rejects.toMatchObject({ name: 'InvalidOptionsError', problems });
});
