import calculateSlot from 'cluster-key-slot';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { leaseKeys } from '../../../libs/redis-streams/dist/keys/lease-keys.js';
import { fullName, groupKeys, registrationKey, shardKeys, shardOf } from '../../../libs/redis-streams/dist/keys/partition-keys.js';
import { RedisStreamsEvents } from '../../../libs/redis-streams/dist/observability/events.js';
import { GroupStore } from '../../../libs/redis-streams/dist/partition/group-store.js';
import { seekPartition } from '../../../libs/redis-streams/dist/partition/inspect.js';
import { PartitionStore, type CommitItem } from '../../../libs/redis-streams/dist/partition/partition-store.js';
import { PartitionProducer } from '../../../libs/redis-streams/dist/partition/producer.js';
import { StreamRegistry, type KnownStream } from '../../../libs/redis-streams/dist/partition/registration.js';
import type { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';
import { LUA } from '../../../libs/redis-streams/dist/scripts/lua.generated.js';

const part = fc.stringMatching(/^[A-Za-z0-9_.-]{1,40}$/);
const stream = fc.tuple(fc.option(part, { nil: undefined }), part).map(([namespace, name]) => fullName(namespace, name));

/** Every key of one shard, and of one group. */
const keysOfShard = (name: string, shard: number, group: string): string[] => {
  const keys = shardKeys(name, shard);
  return [keys.partition(shard), keys.partition(shard + 1_000), keys.positions(group), keys.dead(group), keys.producer('0123abcd'), keys.dropped];
};
const keysOf = (name: string, group: string): string[] => [registrationKey(name), ...keysOfShard(name, 0, group), ...keysOfShard(name, 1, group), ...Object.values(groupKeys(name, group))];

/** Runs everything that runs a script against a server that merely writes down script and keys. */
async function callsOf(name: string, group: string, partitions: number, shards: number): Promise<Array<readonly [script: string, keys: readonly string[]]>> {
  const seen: Array<readonly [string, readonly string[]]> = [];
  const opened = ['OK', '0-0', 0, '', '', 0, '-', 0, '0', 0, '0-0'];
  const replies: Record<string, (keys: readonly string[], args: readonly unknown[]) => unknown> = {
    register: () => ['OK', '{}', 'me'], 'partition-open': () => opened, 'partition-commit': (keys) => keys.slice(3).map(() => 'OK'), 'partition-seek': () => ['OK', '0-0', 0],
    'partition-produce': (keys, args) => [args[0], ...keys.slice(2).map(() => '1-0')].join(' '), 'partition-sync': () => ['OK', '0', '0', '', '', -1, 0, []],
    'partition-groups': (keys) => keys.map(() => 'OK'), 'partition-roster': () => ['0', '0', [], [], [], [], '0', ''], 'partition-plan': () => 'OK', 'partition-leave': () => 0, 'partition-control': () => '',
  };
  const redis = {
    isCluster: true,
    commands: { call: () => Promise.resolve([]) },
    scripts: {
      run: (script: string, keys: readonly string[], args: readonly unknown[]) => {
        seen.push([script, keys]);
        return Promise.resolve(replies[script]?.(keys, args) ?? ['OK']);
      },
    },
  } as unknown as RedisConnection;
  const known: KnownStream = { stream: name, partitions, shards, partitioner: 'murmur2', maxEntries: 5, keepMs: 0, whenFull: 'reject', partition: (key, n) => key.length % n };
  const all = Array.from({ length: partitions }, (_, partition) => partition);
  const store = new PartitionStore(redis, known, group);
  await store.createGroups('0-0');
  for (const partition of all) await store.open(partition, 1, false, '0-0');
  for (let shard = 0; shard < shards; shard++) {
    await store.commit(shard, all.filter((partition) => store.shardOf(partition) === shard).map((partition) => (
      { partition, token: 1, sequence: 1, progress: { watermark: '0-0', passed: 0, done: [], failures: [], finished: 0 }, entriesRead: 0, dropped: '0', mark: undefined, trim: true, wantLag: true, parked: [{ id: '1-0', fields: ['a', 'b'] }] } satisfies CommitItem
    )));
  }
  const producer = new PartitionProducer(redis, new RedisStreamsEvents(), name, () => Promise.resolve(known));
  await producer.sendMany(all.map((partition) => ({ data: 1, partition })));
  const groups = new GroupStore(redis, name, group, partitions);
  await groups.sync('a:1', 'a', false, '', [{ partition: 0, token: 1, above: 0 }], [[1, 2]], 1, 1);
  await groups.roster();
  await groups.plan(1, new Map([['a', all]]));
  await groups.leave('a:1', 'a', 0);
  await groups.control('pause', []);
  for (const partition of all) await seekPartition(redis, known, group, partition, 'earliest');
  await new StreamRegistry(redis, 'me', 0).get(name, 'test');
  return seen;
}

describe('partition keys', () => {
  it('are spelled as documented', () => {
    expect(registrationKey('shop:payments')).toBe('{shop:payments}:stream');
    const keys = shardKeys('shop:payments', 3);
    expect([keys.partition(7), keys.positions('ledger'), keys.dead('ledger'), keys.producer('ab'), keys.dropped]).toEqual([
      '{shop:payments/3}:7', '{shop:payments/3}:positions:ledger', '{shop:payments/3}:dead:ledger', '{shop:payments/3}:producer:ab', '{shop:payments/3}:dropped',
    ]);
    expect(groupKeys('shop:payments', 'ledger')).toEqual(Object.fromEntries(
      ['sessions', 'members', 'names', 'roster', 'away', 'group', 'target', 'owners', 'bell'].map((key) => [key, `{shop:payments#ledger}:${key}`]),
    ));
    expect([fullName(undefined, 'a'), fullName('ns', 'a')]).toEqual(['a', 'ns:a']);
  });

  it('every script of the capability is covered here', async () => {
    const scripts = new Set((await callsOf('x', 'g', 4, 2)).map(([script]) => script));
    expect([...scripts].sort()).toEqual(Object.keys(LUA).filter((name) => (name.startsWith('partition-') && name !== 'partition-replay') || name === 'register').sort());
  });

  it('all keys of each call of a script are in one slot, for any valid names and any number of shards', async () => {
    await fc.assert(fc.asyncProperty(stream, part, fc.integer({ min: 1, max: 9 }), fc.nat(), async (name, group, partitions, n) => {
      for (const [script, keys] of await callsOf(name, group, partitions, 1 + (n % partitions))) {
        expect(keys.length).toBeGreaterThan(0);
        expect(new Set(keys).size).toBe(keys.length);
        expect([script, keys, new Set(keys.map((key) => calculateSlot(key))).size]).toEqual([script, keys, 1]);
      }
    }), { numRuns: 60 });
  });

  it('a group\'s bell is in the slot of its keys: on Cluster, shard channels go where the scripts run', () => {
    const { bell, owners } = groupKeys('s', 'g');
    expect(calculateSlot(bell)).toBe(calculateSlot(owners));
  });

  it('shards of a stream, streams, and groups of a stream spread over the slots', () => {
    const slots = (key: (i: number) => string): number => new Set(Array.from({ length: 1_000 }, (_, i) => calculateSlot(key(i)))).size;
    expect(slots((i) => shardKeys('payments', i).partition(i))).toBeGreaterThan(900);
    expect(slots((i) => shardKeys(`stream-${i}`, 0).partition(0))).toBeGreaterThan(900);
    expect(slots((i) => groupKeys('payments', `group-${i}`).owners)).toBeGreaterThan(900);
    expect(slots((i) => registrationKey(`stream-${i}`))).toBeGreaterThan(900);
  });

  it('partitions are shared evenly among the shards, neighbours apart', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 2_000 }), fc.nat(), (partitions, n) => {
      const shards = 1 + (n % Math.min(partitions, 1_024));
      const counts = Array.from({ length: shards }, () => 0);
      for (let partition = 0; partition < partitions; partition++) counts[shardOf(partition, shards)]!++;
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      if (shards > 1) expect(shardOf(0, shards)).not.toBe(shardOf(1, shards));
    }));
  });

  it('no two streams, nor two groups of one, share a key they should not', () => {
    fc.assert(fc.property(stream, part, stream, part, (a, groupA, b, groupB) => {
      fc.pre(a !== b);
      const mine = new Set(keysOf(a, groupA));
      expect(keysOf(b, groupB).filter((key) => mine.has(key))).toEqual([]);
    }));
    fc.assert(fc.property(stream, part, part, (name, a, b) => {
      fc.pre(a !== b);
      const shared = new Set([registrationKey(name), ...[0, 1].flatMap((shard) => keysOfShard(name, shard, a).filter((key) => !/:(positions|dead):/.test(key)))]);
      const mine = new Set(keysOf(name, a));
      expect(keysOf(name, b).filter((key) => mine.has(key) && !shared.has(key))).toEqual([]);
    }));
  });

  it('no key is one of a lease service, whatever the names', () => {
    fc.assert(fc.property(stream, part, (name, group) => {
      for (const service of [name, `${name}#${group}`, `${name}/0`, group]) {
        const lease = new Set(Object.values(leaseKeys(service)));
        expect(keysOf(name, group).filter((key) => lease.has(key))).toEqual([]);
      }
    }));
  });
});
