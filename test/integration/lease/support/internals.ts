// Parts of the package that are not exported: for tests that play a lost answer or a late packet at the scripts.
import { RedisConnection } from '../../../../libs/redis-streams/dist/redis/connection.js';
import { LeaseStore } from '../../../../libs/redis-streams/dist/lease/store.js';
import { SessionStore } from '../../../../libs/redis-streams/dist/session/store.js';
import { leaseKeys } from '../../../../libs/redis-streams/dist/keys/lease-keys.js';
import { RedisStreamsEvents } from './engine.js';
import type { World } from './world.js';

export interface Internals {
  readonly redis: RedisConnection;
  readonly store: LeaseStore;
  readonly sessions: SessionStore;
  /** Joins under a shared name, with room for many. */
  join(session: string, ttlMs?: number): Promise<void>;
  /** Everything this session may have now, as the pump would ask for it. */
  acquire(session: string, more?: { want?: number; mode?: 'fair' | 'any'; offered?: string[]; claim?: 'auto' | 'manual' }): ReturnType<LeaseStore['acquire']>;
}

export function internals(world: World, service: string): Internals {
  const redis = new RedisConnection('test', world.connection, 2_000, new RedisStreamsEvents());
  world.onEnd(() => redis.close());
  const store = new LeaseStore(redis, service);
  const sessions = new SessionStore(redis, leaseKeys(service));
  return {
    redis, store, sessions,
    join: async (session, ttlMs = 60_000) => {
      const reply = await sessions.join(session, '', ttlMs, '1000', undefined, 2_000);
      if (reply.status !== 'joined') throw new Error(`${session} could not join: ${JSON.stringify(reply)}`);
    },
    acquire: (session, more = {}) => store.acquire({
      session, want: 100, mode: 'any', claim: 'auto', maxBytes: 1_048_576, maxEntryBytes: 262_144, avoidMs: 0, offered: [], ...more,
    }),
  };
}
