import calculateSlot from 'cluster-key-slot';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { queueShardKeys } from '../../../libs/redis-streams/dist/keys/queue-keys.js';
import { shardTags } from '../../../libs/redis-streams/dist/kernel/shard-tags.js';
import { HeldMessage } from '../../../libs/redis-streams/dist/queue/held-message.js';
import { removeGroup, statsOf } from '../../../libs/redis-streams/dist/queue/inspect.js';
import { QueueShardStore } from '../../../libs/redis-streams/dist/queue/store.js';
import type { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';
import { slotOf } from '../../../libs/redis-streams/dist/redis/slot.js';
import { LUA } from '../../../libs/redis-streams/dist/scripts/lua.generated.js';

const part = fc.stringMatching(/^[A-Za-z0-9_.-]{1,40}$/);
const REPLIES: Record<string, unknown> = {
  'queue-look': ['OK', -1, -1, 0, 0, 0, ''], 'queue-settle': -1, 'queue-begin': 'OK', 'queue-leave': 'LEFT', 'queue-remove': '', 'queue-state': [0, 0, 0, 0, 0, 0, 0, 0, -1],
};
/** Their keys are looked at where they are put together: by the producer, and for all capabilities' dead letters. */
const ELSEWHERE = ['queue-produce', 'queue-replay'];

it('all that a script of a consumer is given, bells included, is of its shard\'s slot', async () => {
  await fc.assert(fc.asyncProperty(part, part, fc.integer({ min: 1, max: 6 }), async (name, group, shards) => {
    const keys = shardTags(`queue:${name}`, shards, slotOf).map(queueShardKeys);
    for (const shard of keys) {
      const seen = new Map<string, string[]>();
      const bells: unknown[] = [];
      const note = (script: string, names: readonly string[], args: readonly unknown[]): unknown => {
        seen.set(script, [...names]);
        bells.push(...args.filter((arg) => String(arg).endsWith(':bell')));
        return REPLIES[script];
      };
      const redis = { scripts: { run: async (script: string, names: string[], args: unknown[]) => note(script, names, args) }, commands: { call: () => Promise.resolve([]) } } as unknown as RedisConnection;
      const store = new QueueShardStore(redis, shard, group);
      const held = new HeldMessage({ id: '1-1', key: undefined, data: '1', headers: undefined, other: undefined });
      await store.look('s:1', 5);
      await store.settle('s:1', { done: [held], again: [{ held, delayMs: 1 }], givenUp: [{ held, fields: ['a', 'b'] }] });
      await store.begin('s:1', [held]);
      await store.leave('s:1', '');
      await statsOf(redis, name, [shard], group);
      await removeGroup(redis, shard, group);
      expect([...seen.keys(), ...ELSEWHERE].sort()).toEqual(Object.keys(LUA).filter((script) => script.startsWith('queue-')).sort());
      for (const [script, names] of seen) {
        expect(new Set(names).size, script).toBe(names.length);
        expect(new Set(names.map((key) => calculateSlot(key))).size, script).toBe(1);
        expect(LUA[script as keyof typeof LUA]).toContain(`KEYS[${names.length}]`);
        expect(LUA[script as keyof typeof LUA]).not.toContain(`KEYS[${names.length + 1}]`);
      }
      expect(new Set([...seen.values()].flat().map((key) => calculateSlot(key))).size).toBe(1);
      expect(new Set(bells)).toEqual(new Set([shard.bell]));
    }
  }), { numRuns: 30 });
});
