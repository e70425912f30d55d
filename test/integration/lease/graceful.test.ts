import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { FencedError, type StreamLease } from './support/engine.js';
import { startChild } from './support/child.js';
import { gate, Runs, untilAborted } from './support/handlers.js';
import { allDone, consumersOf, keysOf, pendingByConsumer } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

const long = { session: { ttlMs: 30_000 } };

onTopologies(BOTH, 'graceful stop', (world) => {
  it('hands streams whose handlers heed the signal to peers at once, no attempt counted, nothing lost', async () => {
    const service = world().service();
    const a = await world().consumer(service, untilAborted, { engine: long });
    await a.leases.announceMany(service, Array.from({ length: 10 }, (_, i) => ({ stream: `s${i}` })));
    await a.saw('lease.assigned', 10);
    const session = a.session!;
    const runs = new Runs();
    await world().consumer(service, runs.handler(untilAborted), { engine: long });
    const startedAt = performance.now();
    await a.engine.stop();
    await waitUntil(() => runs.leases.length === 10, { what: 'the peer has them all' });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    for (const lease of runs.leases) expect(lease).toMatchObject({ attempt: 1, recovered: false, previousOwner: session });
    expect(a.all('lease.released')).toHaveLength(10);
    expect(a.all('lease.released').every(({ reason }) => reason === 'shutdown')).toBe(true);
    expect(a.all('lease.lost')).toEqual([]);
    expect(a.errors).toEqual([]);
    expect(await consumersOf(world(), service)).not.toContain(session);
    expect(Object.keys(await pendingByConsumer(world(), service))).not.toContain(session);
    expect(a.all('lease.terminated')).toMatchObject([{ reason: 'closed', consumer: session }]);
  });

  it('lets handlers finish that do, within drainMs: done, not run again', async () => {
    const service = world().service();
    const runs = new Runs();
    const finish = gate();
    const a = await world().consumer(service, runs.handler(() => finish.opened), { engine: { ...long, shutdown: { drainMs: 10_000 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.assigned');
    const b = await world().consumer(service, runs.handler(), { engine: long });
    const stopped = a.engine.stop();
    await waitUntil(() => runs.leases[0]!.signal.aborted, { what: 'the handler is told' });
    finish.open();
    await stopped;
    expect(a.all('lease.completed')).toHaveLength(1);
    expect(b.all('lease.assigned')).toEqual([]);
    await allDone(world(), service);
  });

  it('takes the lease from handlers that ignore the signal, after drainMs; what they settle later is refused', async () => {
    const service = world().service();
    const leases: StreamLease[] = [];
    const late = gate();
    const outcomes: unknown[] = [];
    const a = await world().consumer(service, async (lease) => {
      leases.push(lease);
      await late.opened;
      outcomes.push(await lease.done().catch((error: unknown) => error));
      outcomes.push(await lease.checkpoint('1-0').catch((error: unknown) => error));
    }, { engine: { ...long, shutdown: { drainMs: 200 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.assigned');
    const runs = new Runs();
    await world().consumer(service, runs.handler(untilAborted), { engine: long });
    await a.engine.stop();
    await waitUntil(() => runs.leases.length === 1, { what: 'the peer has it' });
    expect(runs.leases[0]).toMatchObject({ previousOwner: leases[0]!.owner });
    late.open();
    await waitUntil(() => outcomes.length === 2, { what: 'the late settles are answered' });
    for (const outcome of outcomes) expect(outcome).toBeInstanceOf(FencedError);
    expect(Object.values(await pendingByConsumer(world(), service))).toEqual([1]);
  });

  it('waits drainMs once more for such handlers, after the peers have their streams, and then goes on without them', async () => {
    const service = world().service();
    const holds = { slow: gate(), stuck: gate() };
    const drainMs = 1_000;
    const stops = Object.entries(holds).map(async ([stream, hold]) => {
      const a = await world().consumer(`${service}-${stream}`, () => hold.opened, { engine: { ...long, shutdown: { drainMs } } });
      await a.leases.announce(a.service, stream);
      await a.saw('lease.assigned');
      let stopped = false;
      const startedAt = performance.now();
      const stopping = a.engine.stop().then(() => { stopped = true; });
      await a.saw('session.left');
      expect(stopped).toBe(false);
      if (stream === 'slow') hold.open();
      await stopping;
      return performance.now() - startedAt;
    });
    const [slow, stuck] = await Promise.all(stops);
    expect(slow).toBeGreaterThanOrEqual(drainMs - 5);
    expect(slow).toBeLessThan(2 * drainMs);
    expect(stuck).toBeGreaterThanOrEqual(2 * drainMs - 5);
    expect(stuck).toBeLessThan(5 * drainMs);
    holds.stuck.open();
  });

  it('gives back at once what is merely held, and what arrives while it stops, whatever another handler does', async () => {
    const service = world().service();
    const stuck = gate();
    const a = await world().consumer(service, (lease) => (lease.stream === 'stuck' ? stuck.opened : undefined),
      { settle: 'manual', engine: { ...long, shutdown: { drainMs: 3_000 } } });
    await a.leases.announceMany(service, ['stuck', 'held'].map((stream) => ({ stream })));
    await a.saw('lease.assigned', 2);
    const runs = new Runs();
    const b = await world().consumer(service, runs.handler(untilAborted), { engine: long });
    const startedAt = performance.now();
    // Announced and stopped in one breath: some of these are being delivered to the leaver.
    const sent = b.leases.announceMany(service, Array.from({ length: 30 }, (_, i) => ({ stream: `s${i}` })));
    const stopped = a.engine.stop();
    await sent;
    const has = (): number => runs.streams.filter((stream) => stream !== 'stuck').length;
    await waitUntil(() => has() === 31, { what: 'the peer has all but the stuck one' });
    expect(performance.now() - startedAt).toBeLessThan(2_800);
    stuck.open();
    await stopped;
  });

  it('is idempotent, also when it never started', async () => {
    const engine = world().engine();
    engine.addLeaseConsumer({ service: world().service() }, { assigned: () => undefined });
    await Promise.all([engine.stop(), engine.stop()]);
    await engine.stop();
  });

  it('leaves no key but declared state', async () => {
    const service = world().service();
    const runs = new Runs();
    const engines = await Promise.all(['a', 'b'].map((consumerName) =>
      world().consumer(service, runs.handler(async (lease, n) => {
        await lease.checkpoint('1-0');
        if (lease.stream === 'poison') await lease.deadLetter('no');
        if (lease.stream === 'again' && n === 1) throw new Error('once');
        if (lease.stream === 'back' && n === 1) await lease.release();
      }), { backoff: { initialMs: 5 }, engine: { consumerName } })));
    await engines[0]!.leases.announceMany(service, ['a', 'b', 'poison', 'again', 'back'].map((stream) => ({ stream })));
    await allDone(world(), service);
    await Promise.all(engines.map(({ engine }) => engine.stop()));
    const { lbs, epoch, dead } = keysOf(service);
    expect((await world().allKeys()).filter((key) => key.includes(service))).toEqual([
      lbs, // the announcements: empty, with the group's position
      epoch, // the highest token ever granted
      dead, // the dead letters
    ].sort());
    expect(await world().cli(['XLEN', lbs])).toBe(0);
    expect(await consumersOf(world(), service)).toEqual(['unassigned']);
  });

  it.each(['hold', 'ignore', 'finish'] as const)('a process ends by itself afterwards (%s)', async (handler) => {
    const service = world().service();
    const child = await startChild(world(), { service, handler, options: { shutdown: { drainMs: 200 } } });
    await world().engine().leases().announce(service, 's');
    await child.waitFor(({ type }) => type === 'lease.assigned', 5_000, 'the assignment');
    child.send('stop');
    await child.waitFor(({ type }) => type === 'stopped', 5_000, 'the stop');
    const stoppedAt = performance.now();
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(performance.now() - stoppedAt).toBeLessThan(2_000);
  });

  it('a start that fails leaves nothing that keeps the process', async () => {
    const service = world().service();
    await startChild(world(), { service, handler: 'hold', options: { consumerName: 'taken' } });
    const { spawnChild } = await import('./support/child.js');
    const second = spawnChild(world(), { service, handler: 'hold', options: { consumerName: 'taken' } });
    await second.waitFor(({ type, code }) => type === 'failed' && code === 'CONSUMER_NAME_IN_USE', 5_000, 'the refusal');
    expect(await second.exited).toEqual({ code: 0, signal: null });
  });
});
