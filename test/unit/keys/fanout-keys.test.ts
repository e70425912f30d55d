import calculateSlot from 'cluster-key-slot';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resolveFanout } from '../../../libs/redis-streams/dist/fanout/options.js';
import { registerFanout, RoomStore } from '../../../libs/redis-streams/dist/fanout/store.js';
import { fanoutKey, fanoutShardKeys, roomKeys } from '../../../libs/redis-streams/dist/keys/fanout-keys.js';
import { leaseKeys } from '../../../libs/redis-streams/dist/keys/lease-keys.js';
import { groupKeys, registrationKey, shardKeys } from '../../../libs/redis-streams/dist/keys/partition-keys.js';
import type { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';
import { LUA } from '../../../libs/redis-streams/dist/scripts/lua.generated.js';

const part = fc.stringMatching(/^[A-Za-z0-9_.-]{1,40}$/);
const namespace = fc.option(part, { nil: undefined });
const room = fc.oneof(fc.string({ minLength: 1, maxLength: 40 }), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), fc.constantFrom('{x}', '}{', '{}', ':', '{fanout:1}:room:a'));

/** Runs everything that runs a script against a server that merely writes down script and keys. */
async function callsOf(ns: string | undefined, shard: number, rooms: readonly string[]): Promise<Array<readonly [script: string, keys: readonly string[]]>> {
  const seen: Array<readonly [string, readonly string[]]> = [];
  const each = rooms.map(() => '1');
  const replies: Record<string, unknown> = {
    'fanout-send': ['OK', each.join(' ')], 'fanout-ack': each.map(Number), 'fanout-join': ['OK', ...each], 'fanout-eject': ['OK', ...rooms.map(() => [])], 'fanout-look': ['1', [], [], [], -1, [], -1],
    'fanout-fetch': rooms.map(() => ''), 'fanout-part': 1, 'fanout-out': 1, 'fanout-remove': 0, 'fanout-state': ['1', '', '', '', 0, []], 'fanout-register': ['9', 'me'],
  };
  const redis = {
    commands: { call: () => Promise.resolve([]) },
    scripts: { run: (script: string, keys: readonly string[]) => (seen.push([script, keys]), Promise.resolve(replies[script])) },
  } as unknown as RedisConnection;
  const options = resolveFanout({ ...(ns === undefined ? {} : { namespace: ns }), shards: 9 }).value;
  const store = new RoomStore(redis, options, shard);
  await store.send('sender', 1, rooms.map((name) => ({ room: name, priority: 0, payload: '1', awaited: true })));
  await store.acknowledge('a:1', rooms.map((name) => ({ room: name, turn: 1, ejected: ['me'] })));
  await store.join('a:1', rooms.map((name) => ({ room: name, sync: true })));
  await store.leave('a:1', rooms.map((name) => ({ room: name })));
  await store.expire(rooms);
  await store.look(0, 1, 0);
  await store.fetch('a:1', rooms);
  await store.part('a:1', true);
  for (const name of rooms) {
    await store.outOfBand(name, 'id', '1');
    await store.remove(name);
    await store.prepare(name);
    await store.state(name);
  }
  await registerFanout(redis, options, 'me');
  return seen;
}

describe('fanout keys', () => {
  it('are spelled as documented', () => {
    expect([fanoutKey(undefined), fanoutKey('chat')]).toEqual(['{fanout:0}:fanout', '{fanout:chat:0}:fanout']);
    const keys = fanoutShardKeys('chat', 3);
    expect([keys.sessions, keys.dead, keys.bell, keys.roomsOf('a:1'), keys.sender('s'), `${keys.senders}s`]).toEqual(['sessions', 'dead', 'bell', 'rooms:a:1', 'sender:s', 'acked:s'].map((name) => `{fanout:chat:3}:${name}`));
    expect(roomKeys(undefined, 0, 'lobby')).toEqual(Object.fromEntries(['state', 'backlog', 'outcomes'].map((key) => [key, `{fanout:0}:${key === 'state' ? 'room' : key}:lobby`])));
  });

  it('every script of the capability is covered here', async () => {
    const scripts = new Set((await callsOf(undefined, 0, ['a'])).map(([script]) => script));
    expect([...scripts].sort()).toEqual(Object.keys(LUA).filter((name) => name.startsWith('fanout-') && name !== 'fanout-replay').sort());
  });

  it('all keys of each call of a script are in one slot, for any rooms of a shard', async () => {
    await fc.assert(fc.asyncProperty(namespace, fc.integer({ min: 0, max: 1_023 }), fc.uniqueArray(room, { minLength: 1, maxLength: 6 }), async (ns, shard, rooms) => {
      for (const [script, keys] of await callsOf(ns, shard, rooms)) {
        expect(keys.length).toBeGreaterThan(0);
        expect([script, keys, new Set(keys.map((key) => calculateSlot(key))).size]).toEqual([script, keys, 1]);
      }
    }), { numRuns: 60 });
  });

  it('channels are in the slot of the keys: what a script publishes, it may', () => {
    fc.assert(fc.property(namespace, fc.integer({ min: 0, max: 1_023 }), room, (ns, shard, name) => {
      const { senders, sessions, bell } = fanoutShardKeys(ns, shard);
      const { state } = roomKeys(ns, shard, name);
      expect(new Set([`${senders}x`, bell, state, sessions].map((key) => calculateSlot(key))).size).toBe(1);
    }));
  });

  it('shards spread over the slots', () => {
    expect(new Set(Array.from({ length: 1_000 }, (_, shard) => calculateSlot(fanoutShardKeys('chat', shard).sessions))).size).toBeGreaterThan(900);
  });

  it('no two rooms, shards or namespaces share a key they should not', () => {
    const place = fc.tuple(namespace, fc.integer({ min: 0, max: 99 }), room);
    fc.assert(fc.property(place, place, (a, b) => {
      fc.pre(JSON.stringify(a) !== JSON.stringify(b));
      const mine = new Set(Object.values(roomKeys(...a)));
      expect(Object.values(roomKeys(...b)).filter((key) => mine.has(key))).toEqual([]);
    }));
  });

  it('no key is one of a lease service or of a stream, whatever the names', () => {
    fc.assert(fc.property(namespace, fc.integer({ min: 0, max: 99 }), room, part, (ns, shard, name, other) => {
      const { roomsOf, sender, ...fixed } = fanoutShardKeys(ns, shard);
      const mine = new Set([...Object.values(fixed), roomsOf('a:1'), sender('s'), ...Object.values(roomKeys(ns, shard, name)), fanoutKey(ns)]);
      // A service may be called fanout:0 by its users: then its own keys must still be others.
      const theirs = [...Object.values(leaseKeys(other)), registrationKey(other), ...Object.values(groupKeys(other, other)), shardKeys(other, shard).partition(0)].filter((key): key is string => typeof key === 'string');
      expect(theirs.filter((key) => mine.has(key))).toEqual([]);
    }));
  });
});
