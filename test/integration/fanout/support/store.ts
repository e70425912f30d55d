import { expect } from 'vitest';
import { resolveFanout } from '../../../../libs/redis-streams/dist/fanout/options.js';
import { RoomStore } from '../../../../libs/redis-streams/dist/fanout/store.js';
import { roomKeys } from '../../../../libs/redis-streams/dist/keys/fanout-keys.js';
import { RedisStreamsEvents } from '../../../../libs/redis-streams/dist/observability/events.js';
import { RedisConnection } from '../../../../libs/redis-streams/dist/redis/connection.js';
import type { FanoutOptions } from './engine.js';
import { keysOf } from './keys.js';
import type { World } from './world.js';

/** The scripts by hand: sessions that live for an hour and say what they are told to say. */
export async function storeOf(world: World, options: FanoutOptions = {}) {
  const namespace = world.namespace();
  const redis = new RedisConnection('by hand', world.connection, 5_000, new RedisStreamsEvents());
  world.onEnd(() => redis.close());
  const store = new RoomStore(redis, resolveFanout({ ...options, namespace }).value, 0);
  const { sessions } = keysOf('', { namespace });
  let sequence = 0;
  /** In which each message was last shown. */
  const turns = new Map<string, number>();
  return {
    store, namespace,
    session: async (name: string): Promise<string> => {
      await world.cli(['ZADD', sessions, Date.now() + 3_600_000, `${name}:1`]);
      return `${name}:1`;
    },
    send: async (room: string, ...data: unknown[]): Promise<string[]> => (await store.send('me', ++sequence, data.map((each) => ({ room, priority: 0, payload: JSON.stringify(each), awaited: false })))) as string[],
    current: async (room: string): Promise<string | undefined> => {
      const message = (await store.state(room)).current?.message;
      if (message) turns.set(message.id, message.turn);
      return message?.id;
    },
    /** Of what was never shown, a turn that may yet come. */
    turnOf: (id: string): number => turns.get(id) ?? Number(id),
    inShort: async (who: string, room: string, turn: number): Promise<void> => {
      const { state, backlog } = roomKeys(namespace, 0, room);
      expect(await redis.scripts.run('fanout-step', [state, backlog], [who, turn])).toBeNull();
    },
    owing: async (room: string): Promise<string[]> => (await store.state(room)).members.filter(({ owes }) => owes).map(({ session }) => session).sort(),
  };
}
