import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { type Cutter, shaOf, startCutter } from '../support/cutter.js';
import type { StreamLease } from './support/engine.js';
import { gate, Runs, untilAborted } from './support/handlers.js';
import { allDone, keysOf, pendingByConsumer, xadd } from './support/keys.js';
import { onTopologies } from './support/world.js';

onTopologies(['standalone'], 'lost answers', (world) => {
  async function cutter(): Promise<Cutter> {
    const { topology } = world();
    if (topology.kind !== 'standalone') throw new Error('one server');
    const proxy = await startCutter(topology.server.port);
    world().onEnd(() => proxy.stop());
    return proxy;
  }

  it('of an acquire: what it granted is found again and runs once', async () => {
    const service = world().service();
    const proxy = await cutter();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(), { engine: { connection: { url: proxy.url }, session: { ttlMs: 3_000 } } });
    await a.saw('session.renewed');
    proxy.cutAfter(shaOf('lease-acquire'));
    for (let i = 0; i < 5; i++) await xadd(world(), service, `s${i}`);
    await allDone(world(), service, 5_000);
    expect(proxy.cuts).toBe(1);
    expect(runs.streams.sort()).toEqual(['s0', 's1', 's2', 's3', 's4']);
    expect(runs.leases).toHaveLength(5);
    expect(a.all('session.lost')).toEqual([]);
  });

  it('of an acquire, while settles are always under way: found all the same', async () => {
    const service = world().service();
    const proxy = await cutter();
    const runs = new Runs();
    let checkpoints = 0;
    let busy = true;
    const a = await world().consumer(service, runs.handler(async (lease) => {
      if (!lease.stream.startsWith('busy')) return;
      while (busy) await lease.checkpoint(`${++checkpoints}-0`);
    }), { engine: { connection: { url: proxy.url }, session: { ttlMs: 3_000 } } });
    await a.leases.announceMany(service, [1, 2, 3].map((n) => ({ stream: `busy${n}` })));
    await waitUntil(() => runs.leases.length === 3, { what: 'all three are busy' });
    proxy.cutAfter(shaOf('lease-acquire'));
    for (let i = 0; i < 5; i++) await xadd(world(), service, `s${i}`);
    await waitUntil(() => runs.leases.length === 8, { what: 'all others have run', timeoutMs: 5_000 });
    busy = false;
    await allDone(world(), service);
    expect(proxy.cuts).toBe(1);
    expect(runs.overlap).toBe(1);
    expect(runs.leases).toHaveLength(8);
  });

  it('of a settle: a done that was applied is not reported as refused', async () => {
    const service = world().service();
    const proxy = await cutter();
    const outcomes: string[] = [];
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(async (lease) => {
      proxy.cutAfter(shaOf('lease-settle'));
      await lease.done();
      outcomes.push('done');
    }), { engine: { connection: { url: proxy.url }, session: { ttlMs: 3_000 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.completed');
    await waitUntil(() => outcomes.length === 1, { what: 'done has resolved' });
    expect(proxy.cuts).toBe(1);
    expect(a.all('lease.fenced')).toEqual([]);
    expect(a.all('lease.lost')).toEqual([]);
    expect(runs.leases).toHaveLength(1);
    await allDone(world(), service);
  });

  it('of a settle: a failure is counted once', async () => {
    const service = world().service();
    const proxy = await cutter();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler((_, n) => {
      if (n > 1) return;
      proxy.cutAfter(shaOf('lease-settle'));
      throw new Error('once');
    }), { backoff: { initialMs: 10 }, engine: { connection: { url: proxy.url }, session: { ttlMs: 3_000 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.completed');
    expect(proxy.cuts).toBe(1);
    expect(runs.leases.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(a.all('lease.retried')).toHaveLength(1);
  });

  it('of a blocking XREADGROUP: the entry is pending without a lease, and is found', async () => {
    const service = world().service();
    const proxy = await cutter();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(), { engine: { connection: { url: proxy.url }, session: { ttlMs: 6_000 } } });
    for (let round = 1; round <= 3; round++) {
      // The read that is waiting now passed before; the next one is the one whose answer is lost.
      proxy.cutAfter('XREADGROUP');
      await xadd(world(), service, `wake${round}`);
      await waitUntil(() => runs.streams.includes(`wake${round}`), { what: 'the read before is answered' });
      const { lbs } = keysOf(service);
      await waitUntil(async () => String(await world().cli(['CLIENT', 'LIST'], lbs)).includes('cmd=xreadgroup'), { what: 'the next read waits' });
      await xadd(world(), service, `lost${round}`);
      await waitUntil(() => runs.streams.includes(`lost${round}`), { what: 'the lost one runs', timeoutMs: 1_500 });
      expect(proxy.cuts).toBe(round);
    }
    await allDone(world(), service);
    expect(runs.leases).toHaveLength(6);
    await a.saw('reader.error');
    await a.saw('reader.recovered');
    expect(a.all('session.lost')).toEqual([]);
  });

  it('of an announcement: it is there once', async () => {
    const service = world().service();
    const proxy = await cutter();
    const engine = world().engine({ connection: { url: proxy.url } });
    await engine.leases().announce(service, 'first');
    proxy.cutAfter(shaOf('lease-announce'));
    const results = await engine.leases().announceMany(service, Array.from({ length: 50 }, (_, i) => ({ stream: `s${i}` })), { dedupe: 'off' });
    expect(proxy.cuts).toBe(1);
    expect(new Set(results.map(({ id }) => id)).size).toBe(50);
    expect(await world().cli(['XLEN', keysOf(service).lbs])).toBe(51);
  });

  it('of a heartbeat: nothing is lost', async () => {
    const service = world().service();
    const proxy = await cutter();
    const a = await world().consumer(service, untilAborted, { engine: { connection: { url: proxy.url }, session: { ttlMs: 1_500 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.assigned');
    proxy.cutAfter(shaOf('heartbeat'), 3);
    await waitUntil(() => proxy.cuts === 3, { what: 'three heartbeats have lost their answer' });
    await a.saw('session.renewed', a.all('session.renewed').length + 3);
    expect(a.all('session.lost')).toEqual([]);
    expect(await pendingByConsumer(world(), service)).toEqual({ [a.session!]: 1 });
  });

  it('of a join: it takes part all the same, under an exclusive name as well', async () => {
    const service = world().service();
    const proxy = await cutter();
    proxy.cutAfter(shaOf('join'));
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(), { engine: { connection: { url: proxy.url }, consumerName: 'joiner', session: { ttlMs: 20_000 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.completed');
    expect(runs.leases).toHaveLength(1);
  });

  it('of a claim: it is ours, and the caller is told so', async () => {
    const service = world().service();
    const proxy = await cutter();
    const runs = new Runs();
    const outcomes: unknown[] = [];
    const dead = await world().consumer(service, untilAborted, { claim: 'manual', engine: { session: { ttlMs: 60_000 } } });
    await dead.leases.announce(service, 's');
    await dead.saw('lease.assigned');
    await world().consumer(service, {
      assigned: runs.handler(),
      expired: async (event) => {
        proxy.cutAfter(shaOf('lease-claim'));
        outcomes.push(await event.claim().catch((error: unknown) => error));
      },
    }, { claim: 'manual', engine: { connection: { url: proxy.url }, session: { ttlMs: 1_500 } } });
    await world().cli(['ZADD', keysOf(service).sessions, 1, dead.session!]);
    await waitUntil(() => outcomes.length === 1 && runs.leases.length === 1, { what: 'it was claimed and runs' });
    expect(proxy.cuts).toBe(1);
    expect(outcomes).toEqual([undefined]);
  });

  it('of the last words: nothing stays pending for the leaver', async () => {
    const service = world().service();
    const proxy = await cutter();
    const hold = gate();
    const leases: StreamLease[] = [];
    const a = await world().consumer(service, async (lease) => { leases.push(lease); await untilAborted(lease); },
      { engine: { connection: { url: proxy.url }, session: { ttlMs: 60_000 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.assigned');
    const session = a.session!;
    proxy.cutAfter(shaOf('lease-leave'));
    await a.engine.stop();
    hold.open();
    expect(proxy.cuts).toBe(1);
    expect(Object.keys(await pendingByConsumer(world(), service))).toEqual(['unassigned']);
    expect(await world().cli(['ZSCORE', keysOf(service).sessions, session])).toBeNull();
  });
});
