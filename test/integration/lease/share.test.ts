import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { startChild } from './support/child.js';
import { Runs, untilAborted } from './support/handlers.js';
import { allDone, pendingByConsumer } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

const many = (count: number): { stream: string }[] => Array.from({ length: count }, (_, i) => ({ stream: `s${i}` }));

onTopologies(BOTH, 'share', (world) => {
  it('a burst spreads evenly over all consumers', async () => {
    const service = world().service();
    const consumers = await Promise.all(Array.from({ length: 5 }, () => world().consumer(service, untilAborted)));
    await consumers[0]!.leases.announceMany(service, many(200));
    const held = (): number[] => consumers.map((consumer) => consumer.leases.held(service).length);
    await waitUntil(() => held().reduce((x, y) => x + y, 0) === 200, { what: 'all are owned' });
    for (const count of held()) expect(Math.abs(count - 40)).toBeLessThanOrEqual(4);
  });

  it('maxLeases is never exceeded; the rest waits, and follows as room is made', async () => {
    const service = world().service();
    let most = 0;
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(async () => {
      most = Math.max(most, a.leases.held(service).length);
      await new Promise((resolve) => setTimeout(resolve, 5));
      most = Math.max(most, a.leases.held(service).length);
    }), { maxLeases: 3 });
    await a.leases.announceMany(service, many(60));
    await allDone(world(), service);
    expect(runs.leases).toHaveLength(60);
    expect(most).toBe(3);
  });

  it('a consumer at its bound leaves more to those with room', async () => {
    const service = world().service();
    const small = await world().consumer(service, untilAborted, { maxLeases: 2 });
    const large = await world().consumer(service, untilAborted, { maxLeases: 100 });
    await large.leases.announceMany(service, many(40));
    await waitUntil(() => small.leases.held(service).length + large.leases.held(service).length === 40, { what: 'all are owned' });
    expect(small.leases.held(service).length).toBeLessThanOrEqual(2);
  });

  it('a joiner gets its share by hand-over, once, and nothing runs twice', async () => {
    const service = world().service();
    const runs = new Runs();
    const options = { handOver: true, engine: { session: { ttlMs: 900 } } };
    const consumers = [await world().consumer(service, runs.handler(untilAborted), options)];
    await consumers[0]!.leases.announceMany(service, many(60));
    await waitUntil(() => consumers[0]!.leases.held(service).length === 60, { what: 'the first has them all' });
    consumers.push(await world().consumer(service, runs.handler(untilAborted), options), await world().consumer(service, runs.handler(untilAborted), options));
    const held = (): number[] => consumers.map((consumer) => consumer.leases.held(service).length);
    await waitUntil(() => held().reduce((x, y) => x + y, 0) === 60 && held().every((count) => Math.abs(count - 20) <= 2), { what: 'each has a third', timeoutMs: 5_000 });
    expect(consumers[0]!.all('lease.handOver').length).toBeGreaterThan(0);
    expect(consumers[0]!.all('lease.released').every(({ reason }) => reason === 'rebalance')).toBe(true);
    expect(runs.leases.every(({ attempt }) => attempt === 1)).toBe(true);
    expect(runs.overlap).toBe(1);
    // It comes to rest.
    const moves = (): number => consumers.reduce((sum, consumer) => sum + consumer.all('lease.released').length, 0);
    const before = moves();
    await consumers[0]!.saw('session.renewed', consumers[0]!.all('session.renewed').length + 4);
    expect(moves()).toBe(before);
  });

  it('nothing starves while a peer is stopped but not yet past its deadline', async () => {
    const service = world().service();
    const child = await startChild(world(), { service, handler: 'finish', options: { session: { ttlMs: 30_000 } } });
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(), { engine: { session: { ttlMs: 1_000 } } });
    child.stopProcess();
    await a.leases.announceMany(service, many(100));
    const left = async (): Promise<Record<string, number>> => {
      const { unassigned: _free, ...rest } = await pendingByConsumer(world(), service);
      return rest;
    };
    // One at most sits with the stopped peer: what its blocking read was served.
    await waitUntil(() => runs.leases.length >= 99, { what: 'everything else has run', timeoutMs: 8_000 });
    expect(Object.values(await left()).reduce((x, y) => x + y, 0)).toBeLessThanOrEqual(1);
    child.continue();
    await allDone(world(), service);
  });

  it('a consumer that is full does not keep dead owners\' streams from the others', async () => {
    const service = world().service();
    const child = await startChild(world(), { service, handler: 'hold' });
    const full = await world().consumer(service, untilAborted, { maxLeases: 1 });
    await full.leases.announceMany(service, many(12));
    await waitUntil(async () => Object.values(await pendingByConsumer(world(), service)).reduce((x, y) => x + y, 0) === 12, { what: 'all are owned' });
    const runs = new Runs();
    await world().consumer(service, runs.handler());
    await child.kill();
    await waitUntil(() => runs.streams.length >= 11, { what: 'the free one has run what the dead one held' });
  });
});
