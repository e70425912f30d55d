import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { gate, Runs } from './support/handlers.js';
import { World } from './support/world.js';

let server: RedisServer;
let world: World;
beforeAll(async () => {
  server = await startRedis({ args: ['--maxmemory-policy', 'noeviction'] });
  world = new World({ kind: 'standalone', server, servers: [server], stop: () => server.stop() });
});
afterAll(async () => {
  await world.clean();
  await server.stop();
});

it('a full server: sessions live on, settles are accepted, announcing says why it cannot', async () => {
  const service = world.service();
  const runs = new Runs();
  const full = gate();
  const a = await world.consumer(service, runs.handler(async (lease) => {
    await full.opened;
    await lease.checkpoint('1-0');
    if (lease.stream === 'failing') throw new Error('no luck');
    if (lease.stream === 'dead') await lease.deadLetter('no use');
    if (lease.stream === 'back' && runs.of('back').length === 1) await lease.release();
  }), { backoff: { initialMs: 60_000 }, engine: { session: { ttlMs: 900 } } });
  await a.leases.announceMany(service, ['done', 'failing', 'dead', 'back'].map((stream) => ({ stream })));
  await waitUntil(() => runs.leases.length === 4, { what: 'all four are held' });
  await server.cli('CONFIG', 'SET', 'maxmemory', '100kb');
  await expect(server.cli('SET', 'x', 'y')).rejects.toThrow(/OOM/);
  const refused = a.leases.announce(service, 'more').catch((error: unknown) => error);
  const renewed = a.all('session.renewed').length;
  full.open();
  await a.saw('lease.completed');
  await a.saw('lease.retried');
  await a.saw('lease.deadLettered');
  await a.saw('lease.released');
  await a.saw('session.renewed', renewed + 5);
  expect(a.all('session.lost')).toEqual([]);
  expect(a.all('lease.fenced')).toEqual([]);
  expect((await a.leases.deadLetters(service)).map(({ reason }) => reason)).toEqual(['no use']);
  const error = await refused;
  expect(error).toMatchObject({ code: 'BACKPRESSURE', retriable: true });
  expect(String((error as Error).message)).toMatch(/OOM|memory/);
  // A clean stop works as well.
  await a.engine.stop();
  expect(a.all('session.left')).toHaveLength(1);
  await server.cli('CONFIG', 'SET', 'maxmemory', '0');
});
