import calculateSlot from 'cluster-key-slot';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { queueKey, queueShardKeys } from '../../../libs/redis-streams/dist/keys/queue-keys.js';
import { fullName, shardKeys } from '../../../libs/redis-streams/dist/keys/partition-keys.js';
import { shardTags } from '../../../libs/redis-streams/dist/kernel/shard-tags.js';
import { resolveQueueProducer } from '../../../libs/redis-streams/dist/queue/producer-options.js';
import { QueueProducer } from '../../../libs/redis-streams/dist/queue/producer.js';
import type { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';
import { slotOf } from '../../../libs/redis-streams/dist/redis/slot.js';

const part = fc.stringMatching(/^[A-Za-z0-9_.-]{1,40}$/);
const queue = fc.tuple(fc.option(part, { nil: undefined }), part).map(([namespace, name]) => fullName(namespace, name));
const keysOf = (tag: string, group: string): string[] => {
  const { producer, group: ofGroup, ...own } = queueShardKeys(tag);
  return [...new Set([...Object.values(own), producer('0123abcd'), ...Object.values(ofGroup(group))])];
};

describe('queue keys', () => {
  it('are spelled as documented', () => {
    expect(queueKey('shop:orders')).toBe('{queue:shop:orders}:queue');
    const { producer, group, ...own } = queueShardKeys('queue:shop:orders/1');
    expect(own).toEqual(Object.fromEntries(['messages', 'delayed', 'ids', 'origins', 'dead', 'bell'].map((name) => [name, `{queue:shop:orders/1}:${name}`])));
    expect(producer('ab')).toBe('{queue:shop:orders/1}:producer:ab');
    expect(group('g')).toEqual({
      ...Object.fromEntries(['sessions', 'members', 'names', 'retries', 'attempts', 'handlers', 'control'].map((name) => [name, `{queue:shop:orders/1}:${name}:g`])), bell: '{queue:shop:orders/1}:bell',
    });
  });

  it('all keys of a shard are in one slot', () => {
    fc.assert(fc.property(queue, part, fc.integer({ min: 1, max: 12 }), (name, group, shards) => {
      for (const tag of shardTags(`queue:${name}`, shards, slotOf)) expect(new Set(keysOf(tag, group).map((key) => calculateSlot(key))).size).toBe(1);
    }), { numRuns: 60 });
  });

  it('so are those that a producer names to its script, and its bell with them', async () => {
    await fc.assert(fc.asyncProperty(queue, fc.integer({ min: 1, max: 5 }), async (name, shards) => {
      const seen: string[][] = [];
      const run = (script: string, names: string[], args: unknown[], { more }: { more: { count: number } }) => {
        expect(script).toBe('queue-produce');
        seen.push([...names, String(args[7])]);
        return Promise.resolve([args[0], ...Array.from({ length: more.count / Number(args[4]) }, () => '1-0')].join(' '));
      };
      const keys = shardTags(`queue:${name}`, shards, slotOf).map(queueShardKeys);
      const redis = { scripts: { run }, commands: { call: () => Promise.resolve(1) } } as unknown as RedisConnection;
      const producer = new QueueProducer(redis, name, resolveQueueProducer().value, () => Promise.resolve({ queue: name, shards, dedupeMs: 5, keys }));
      const sent = await producer.sendMany(Array.from({ length: shards }, (_, data) => ({ data })));
      expect(new Set(sent.map(({ shard }) => shard)).size).toBe(shards);
      expect(await producer.close()).toEqual({ unsent: 0 });
      expect(seen).toHaveLength(shards);
      for (const names of seen) expect([new Set(names).size, new Set(names.map((key) => calculateSlot(key))).size]).toEqual([6, 1]);
    }), { numRuns: 40 });
  });

  it('no two queues, groups of one, or shards share a key they should not; nor does a partitioned stream', () => {
    fc.assert(fc.property(queue, queue, part, part, (a, b, groupA, groupB) => {
      fc.pre(a !== b && groupA !== groupB);
      const tags = (name: string): string[] => shardTags(`queue:${name}`, 3, slotOf);
      const all = [queueKey(a), queueKey(b), ...tags(a).flatMap((tag) => keysOf(tag, groupA)), ...tags(b).flatMap((tag) => keysOf(tag, groupA))];
      expect(new Set(all).size).toBe(all.length);
      const { producer, group, ...own } = queueShardKeys(tags(a)[0]!);
      const shared = new Set([...Object.values(own), producer('0123abcd'), group('x').bell]);
      const mine = new Set(keysOf(tags(a)[0]!, groupA));
      expect(keysOf(tags(a)[0]!, groupB).filter((key) => mine.has(key) && !shared.has(key))).toEqual([]);
      for (const name of [a, `queue:${a}`]) expect([shardKeys(name, 0).partition(0), shardKeys(name, 1).positions(groupA), shardKeys(name, 1).producer('0123abcd')].filter((key) => all.includes(key) && !key.includes(':producer:'))).toEqual([]);
    }), { numRuns: 100 });
  });
});
