import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';
import { Membership } from '../../../libs/redis-streams/dist/session/membership.js';
import { RedisStreamsEvents } from '../../../libs/redis-streams/dist/observability/events.js';

const session = { ttlMs: 400, heartbeatMs: 50, marginMs: 20 };

/** A server that answers heartbeats when it is told to. */
function setUp() {
  const beats: Array<(reply: unknown) => void> = [];
  const joins: string[] = [];
  const lost: string[] = [];
  const redis = {
    doorbell: { listen: () => () => undefined },
    scripts: {
      run: (name: string, _keys: string[], [id]: string[]) => {
        if (name === 'heartbeat') return new Promise((resolve) => beats.push(resolve));
        joins.push(id!);
        return Promise.resolve(['JOINED', -1]);
      },
    },
  } as unknown as RedisConnection;
  const membership = new Membership(
    redis,
    { scope: 's', keys: { sessions: 's', members: 'm', names: 'n', bell: 'b' }, identity: { name: 'me', exclusive: false }, session, meta: '', commandTimeoutMs: 1_000 },
    new RedisStreamsEvents(),
    { joined: () => undefined, lost: (id, why) => lost.push(`${id} ${why}`), look: () => undefined, failed: () => undefined, trouble: () => undefined },
  );
  return { membership, beats, joins, lost };
}

it('a session that was seen to be over stays over, though a heartbeat of before is accepted in the same turn', async () => {
  const { membership, beats, joins, lost } = setUp();
  await membership.start();
  const { session: first } = membership;
  while (beats.length === 0) await nextTurn();
  // This process is stalled past what it knows of its session. Of the sockets it then reads, in one turn and before any
  // timer, one brings it work, and a later one the heartbeat's answer.
  while (membership.session !== undefined);
  expect(lost).toEqual([]);
  beats[0]!(['LIVE', -1]);
  for (let i = 0; i < 20; i++) await Promise.resolve();
  expect(membership.session).not.toBe(first);
  expect(lost).toEqual([`${first!} silent`]);
  while (membership.session === undefined) await nextTurn();
  expect(joins).toEqual([first, membership.session]);
  await membership.stop();
});
