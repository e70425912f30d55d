import calculateSlot from 'cluster-key-slot';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { announcerKey, leaseKeys } from '../../../libs/redis-streams/dist/keys/lease-keys.js';
import { readStats } from '../../../libs/redis-streams/dist/lease/listing.js';
import { LeaseStore } from '../../../libs/redis-streams/dist/lease/store.js';
import type { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';
import { LUA } from '../../../libs/redis-streams/dist/scripts/lua.generated.js';
import { SessionStore } from '../../../libs/redis-streams/dist/session/store.js';

const service = fc.stringMatching(/^[A-Za-z0-9_.:-]{1,200}$/);

/** Runs everything that runs a script against a server that merely writes down the keys. */
async function keysByScript(name: string): Promise<Map<string, readonly string[]>> {
  const seen = new Map<string, readonly string[]>();
  const replies: Record<string, unknown> = {
    'lease-acquire': ['OK', [], [], [0, 0, 0, 0, 0, 0, 0, 0, 0]], 'lease-stats': [0, 0, 0, 0, 0, 0], 'lease-announce': [], 'lease-expired': [],
    'lease-leave': ['LEFT', 0], 'lease-claim': ['GONE'], 'lease-settle': ['OK', 'OK'], 'lease-retire': ['RETIRED'], join: ['JOINED', -1], heartbeat: ['LIVE', -1],
  };
  const redis = {
    scripts: {
      run: (script: string, keys: readonly string[]) => {
        seen.set(script, keys);
        return Promise.resolve(replies[script] ?? ['OK']);
      },
    },
  } as unknown as RedisConnection;
  const store = new LeaseStore(redis, name);
  const sessions = new SessionStore(redis, leaseKeys(name));
  await store.acquire({ session: 'a:1', want: 1, mode: 'fair', claim: 'auto', maxBytes: 1, maxEntryBytes: 1, avoidMs: 0, offered: [] } as Parameters<LeaseStore['acquire']>[0]);
  await store.settle('a:1', 1, [{ operation: 'done', stream: 's', token: 1, a: '', b: '' }]);
  await store.claim('a:1', 's');
  await store.expired(1);
  await store.retire('a:1');
  await store.leave('a:1', '');
  await store.announce('x', 1, 1, []);
  await readStats(redis, name);
  await sessions.join('a:1', '', 1, '', undefined, 1);
  await sessions.heartbeat('a:1', '', 1, 1);
  return seen;
}

describe('lease keys', () => {
  it('are spelled as documented', () => {
    expect(leaseKeys('orders')).toEqual({
      lbs: 'orders-input', group: 'orders-group', sessions: '{orders-input}:sessions', members: '{orders-input}:members', names: '{orders-input}:names',
      leases: '{orders-input}:leases', checkpoints: '{orders-input}:checkpoints', free: '{orders-input}:free', followUps: '{orders-input}:follow-ups',
      epoch: '{orders-input}:epoch', settled: '{orders-input}:settled', dead: '{orders-input}:dead', bell: '{orders-input}:bell',
    });
    expect(announcerKey(leaseKeys('orders'), 'ab')).toBe('{orders-input}:announcer:ab');
  });

  it('every script is covered here, but for those of the other capabilities: see partition-keys.test.ts, fanout-keys.test.ts, queue-keys.test.ts, transport-keys.test.ts', async () => {
    expect([...(await keysByScript('x')).keys()].sort()).toEqual(Object.keys(LUA).filter((name) => !/^(partition|fanout|queue|transport|dead-letters)-|^register$|-replay$/.test(name)).sort());
  });

  it('all keys of each script are in the slot of the load-balancer stream, for any valid service', async () => {
    await fc.assert(fc.asyncProperty(service, async (name) => {
      const slot = calculateSlot(`${name}-input`);
      for (const [script, keys] of await keysByScript(name)) {
        expect(keys.length).toBeGreaterThan(0);
        expect(new Set(keys).size).toBe(keys.length);
        for (const key of keys) expect([script, key, calculateSlot(key)]).toEqual([script, key, slot]);
      }
    }));
  });

  it('different services spread over the slots', () => {
    const slots = new Set(Array.from({ length: 1_000 }, (_, i) => calculateSlot(leaseKeys(`service-${i}`).lbs)));
    expect(slots.size).toBeGreaterThan(900);
  });

  it('no two services share a key', () => {
    fc.assert(fc.property(service, service, (a, b) => {
      fc.pre(a !== b);
      const mine = new Set(Object.values(leaseKeys(a)));
      expect(Object.values(leaseKeys(b)).filter((key) => mine.has(key))).toEqual([]);
    }));
  });
});
