import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startRedis } from '../../support/redis-server.js';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import type { Consumer } from './support/consumer.js';
import { gate, Runs, untilAborted } from './support/handlers.js';
import { allDone, consumersOf, keysOf, pendingByConsumer, pendingTotal, xadd } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'faults of the server', (world) => {
  /** Announces until a stream runs, and answers how long that took: the fault may have eaten an announcement. */
  async function resumes(consumer: Consumer, runs: Runs): Promise<number> {
    const startedAt = performance.now();
    for (let i = 0; ; i++) {
      const stream = `after${i}`;
      await consumer.leases.announce(consumer.service, stream);
      try {
        await waitUntil(() => runs.streams.includes(stream), { what: 'it runs', timeoutMs: 1_000 });
        return performance.now() - startedAt;
      } catch (error) {
        if (performance.now() - startedAt > 10_000) throw error;
      }
    }
  }

  it('group destroyed: made again from the start; what live owners hold is not run twice', async () => {
    const service = world().service();
    const runs = new Runs();
    const hold = gate();
    const handler = runs.handler((lease) => (lease.stream.startsWith('held') ? hold.opened : undefined));
    const [a, b] = await Promise.all([world().consumer(service, handler), world().consumer(service, handler)]);
    await a.leases.announceMany(service, Array.from({ length: 20 }, (_, i) => ({ stream: `held${i}` })));
    await waitUntil(() => runs.leases.length === 20, { what: 'all are held' });
    await xadd(world(), service, 'held0', { again: true }); // a follow-up is waiting as well
    await waitUntil(async () => (await a.leases.stats(service)).followUps === 1, { what: 'the follow-up waits' });
    const { lbs, group } = keysOf(service);
    const tokens = runs.leases.map(({ token }) => token);
    await world().cli(['XGROUP', 'DESTROY', lbs, group], lbs);
    expect(await resumes(a, runs)).toBeLessThan(5_000);
    await waitUntil(async () => await pendingTotal(world(), service) >= 20, { what: 'the new group knows the owners again' });
    await a.saw('session.renewed', a.all('session.renewed').length + 2);
    expect(runs.leases.filter(({ stream }) => stream.startsWith('held')).map(({ token }) => token)).toEqual(tokens);
    const held = { [a.session!]: a.leases.held(service).length, [b.session!]: b.leases.held(service).length };
    const { unassigned, ...owners } = await pendingByConsumer(world(), service);
    expect(unassigned).toBe(1);
    expect(owners).toEqual(held);
    hold.open();
    await allDone(world(), service);
    expect(runs.of('held0')).toHaveLength(2);
    expect(runs.overlap).toBe(1);
    expect(await a.leases.stats(service)).toMatchObject({ free: 0, followUps: 0, held: 0, undelivered: 0 });
    expect([...a.all('lease.lost'), ...b.all('lease.lost')]).toEqual([]);
  });

  it('group destroyed while streams wait for their retry: the delay still counts', async () => {
    const service = world().service();
    const runs = new Runs();
    const at: number[] = [];
    const a = await world().consumer(service, runs.handler((lease, n) => {
      if (lease.stream !== 's') return;
      at.push(performance.now());
      if (n === 1) throw new Error('once');
    }), { backoff: { initialMs: 1_500, jitter: 0 } });
    await a.leases.announce(service, 's');
    await waitUntil(async () => (await a.leases.stats(service)).free === 1, { what: 'it waits' });
    const { lbs, group } = keysOf(service);
    await world().cli(['XGROUP', 'DESTROY', lbs, group], lbs);
    await resumes(a, runs);
    await allDone(world(), service);
    expect(at).toHaveLength(2);
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(1_490);
    expect(runs.of('s').map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  it('load-balancer stream deleted: goes on; the owners of what was announced may still finish it', async () => {
    const service = world().service();
    const runs = new Runs();
    const hold = gate();
    const a = await world().consumer(service, runs.handler((lease) => (lease.stream === 'held' ? hold.opened : undefined)));
    await a.leases.announce(service, 'held');
    await waitUntil(() => runs.leases.length === 1, { what: 'it is held' });
    const { lbs } = keysOf(service);
    await world().cli(['DEL', lbs]);
    expect(await resumes(a, runs)).toBeLessThan(5_000);
    hold.open();
    await a.saw('lease.completed', 2);
    expect(a.all('lease.completed').some(({ stream }) => stream === 'held')).toBe(true);
    await allDone(world(), service);
  });

  it('everything flushed: every consumer joins again and goes on; what was held is lost and said so', async () => {
    const service = world().service();
    const runs = new Runs();
    const handler = runs.handler((lease) => (lease.stream === 'held' ? untilAborted(lease) : undefined));
    const engine = { session: { ttlMs: 10_000 } };
    const [a, b] = await Promise.all([world().consumer(service, handler, { engine }), world().consumer(service, handler, { engine })]);
    await a.leases.announce(service, 'held');
    await waitUntil(() => runs.leases.length === 1, { what: 'it is held' });
    await world().everywhere('FLUSHALL');
    expect(await resumes(a, runs)).toBeLessThan(5_000);
    await waitUntil(() => a.all('session.joined').length === 2 && b.all('session.joined').length === 2, { what: 'both have joined again' });
    expect([...a.all('lease.lost'), ...b.all('lease.lost')].map(({ stream, reason }) => [stream, reason])).toEqual([['held', 'session-lost']]);
    const sessions = [a.session!, b.session!];
    expect((await consumersOf(world(), service)).filter((name) => name !== 'unassigned').every((name) => sessions.includes(name))).toBe(true);
  });

  it('scripts flushed: nobody notices', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler());
    await a.leases.announce(service, 'before');
    await allDone(world(), service);
    await world().everywhere('SCRIPT', 'FLUSH');
    await a.leases.announce(service, 'after');
    await allDone(world(), service);
    await world().everywhere('SCRIPT', 'FLUSH');
    await a.saw('session.renewed', a.all('session.renewed').length + 2);
    expect(runs.streams).toEqual(['before', 'after']);
    expect(a.all('session.lost')).toEqual([]);
    expect(a.all('reader.error')).toEqual([]);
  });

  it('every connection killed, again and again: goes on, session and leases kept', async () => {
    const service = world().service();
    const runs = new Runs();
    const hold = gate();
    const a = await world().consumer(service, runs.handler((lease) => (lease.stream === 'held' ? hold.opened : undefined)), { engine: { session: { ttlMs: 5_000 } } });
    await a.leases.announce(service, 'held');
    await waitUntil(() => runs.leases.length === 1, { what: 'it is held' });
    const session = a.session;
    for (let round = 0; round < 3; round++) {
      await world().everywhere('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await world().everywhere('CLIENT', 'KILL', 'TYPE', 'pubsub');
      expect(await resumes(a, runs)).toBeLessThan(5_000);
    }
    expect(a.session).toBe(session);
    hold.open();
    await allDone(world(), service);
    expect(runs.of('held')).toHaveLength(1);
    expect(a.all('lease.lost')).toEqual([]);
  });

  it('a key of another type in the way: told, without a hot loop; goes on when it is gone', async () => {
    const service = world().service();
    const { lbs } = keysOf(service);
    await world().cli(['SET', lbs, 'in the way']);
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler());
    const errors = await a.saw('reader.error', 3);
    expect(errors[0]!.error.message).toMatch(/WRONGTYPE/);
    expect(errors.every(({ retryInMs }) => retryInMs >= 200)).toBe(true);
    await world().cli(['DEL', lbs]);
    await xadd(world(), service, 's');
    await waitUntil(() => runs.streams.includes('s'), { what: 'it goes on' });
    await a.saw('reader.recovered');
  });
});

onTopologies(['standalone'], 'faults of the way to the server', (world) => {
  const port = (): number => world().topology.servers[0]!.port;

  it('server gone and back: retried a few times a second, not more; resumes within 5 s', async () => {
    const service = world().service();
    const dir = await mkdtemp(join(tmpdir(), 'nrs-gone-'));
    const server = await startRedis({ dir });
    world().onEnd(async () => {
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    });
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(), { engine: { connection: { url: server.url } } });
    await server.kill();
    const from = a.events.length;
    const goneAt = performance.now();
    await waitUntil(() => performance.now() - goneAt > 3_000, { what: 'three seconds have passed', timeoutMs: 5_000 });
    const retries = a.events.slice(from).filter(({ type }) => type === 'reader.error').length;
    expect(retries).toBeLessThanOrEqual(3 * 5 * 2); // the reader and the pump
    await server.restart({ empty: true });
    const backAt = performance.now();
    await a.leases.announce(service, 's');
    await waitUntil(() => runs.streams.includes('s'), { what: 'it goes on' });
    expect(performance.now() - backAt).toBeLessThan(5_000);
  });

  it('half-open connections: noticed, replaced; the session is kept when the ttl allows', async () => {
    const service = world().service();
    const proxy = await startProxy(port());
    world().onEnd(() => proxy.stop());
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(), { engine: { connection: { url: proxy.url }, session: { ttlMs: 6_000, heartbeatMs: 500 }, commandTimeoutMs: 500 } });
    const session = a.session;
    proxy.halfOpenAll();
    const startedAt = performance.now();
    await xadd(world(), service, 's');
    await waitUntil(() => runs.streams.includes('s'), { what: 'it runs' });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await a.saw('connection.replaced');
    expect(a.session).toBe(session);
  });

  it('a start waits for a server that is on its way, and gives up with a clear error', async () => {
    const proxy = await startProxy(port());
    world().onEnd(() => proxy.stop());
    proxy.blackhole(true);
    const early = world().consumer(world().service(), () => undefined, { engine: { connection: { url: proxy.url }, commandTimeoutMs: 300 } });
    await waitUntil(() => proxy.stats.connections >= 2, { what: 'it has tried and tried again' });
    proxy.blackhole(false);
    await early;
    proxy.blackhole(true);
    await expect(world().consumer(world().service(), () => undefined, { engine: { connection: { url: proxy.url }, commandTimeoutMs: 200, startTimeoutMs: 700 } }))
      .rejects.toThrow(/Redis did not answer within 700 ms/);
    proxy.blackhole(false);
  });
});
