import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { ConsumerNameInUseError, FencedError, type StreamLease } from './support/engine.js';
import { startChild } from './support/child.js';
import { Runs, untilAborted } from './support/handlers.js';
import { internals } from './support/internals.js';
import { allDone, consumersOf, keysOf, pendingByConsumer } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'sessions', (world) => {
  it('a dead owner\'s streams run elsewhere right after its deadline', async () => {
    const service = world().service();
    const child = await startChild(world(), { service, handler: 'hold' });
    const b = await world().consumer(service, untilAborted, { maxLeases: 100 });
    await b.leases.announceMany(service, Array.from({ length: 20 }, (_, i) => ({ stream: `s${i}` })));
    await waitUntil(async () => {
      const pending = await pendingByConsumer(world(), service);
      // The server knows of a grant before its answer has reached the owner.
      return Object.values(pending).reduce((x, y) => x + y, 0) === 20 && pending[b.session!] === b.leases.held(service).length;
    }, { what: 'all are owned, and their owners know' });
    const before = b.leases.held(service).length;
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(20);
    const killedAt = performance.now();
    await child.kill();
    await b.saw('lease.takenOver', 20 - before);
    expect(performance.now() - killedAt).toBeLessThan(5_000);
    for (const lease of b.leases.held(service).filter(({ recovered }) => recovered)) expect(lease).toMatchObject({ attempt: 2 });
    expect(await pendingByConsumer(world(), service)).toEqual({ [b.session!]: 20 });
    await waitUntil(async () => (await consumersOf(world(), service)).filter((name) => name !== 'unassigned').length === 1, { what: 'the dead one is forgotten' });
    for (const key of [keysOf(service).sessions, keysOf(service).members]) {
      expect(await world().cli([key.endsWith('sessions') ? 'ZCARD' : 'HLEN', key])).toBe(1);
    }
  });

  it('a paused owner is refused when it wakes, is told, and takes part again under a new incarnation', async () => {
    const service = world().service();
    const child = await startChild(world(), { service, handler: 'hold', options: { consumerName: 'sleeper' } });
    await world().engine().leases().announce(service, 's');
    const { token, owner } = await child.waitFor(({ type }) => type === 'lease.assigned', 5_000, 'the assignment') as unknown as { token: number; owner: string };
    const runs = new Runs();
    const b = await world().consumer(service, runs.handler(untilAborted), { engine: { consumerName: 'b' } });
    child.stopProcess();
    await waitUntil(() => runs.leases.length === 1, { what: 'the stream runs elsewhere' });
    expect(runs.leases[0]).toMatchObject({ previousOwner: owner, attempt: 2 });
    expect(runs.leases[0]!.token).toBeGreaterThan(token);
    child.continue();
    await child.waitFor(({ type, reason }) => type === 'lease.lost' && reason === 'session-lost', 5_000, 'the loss');
    const again = await child.waitFor(({ type, session }) => type === 'session.joined' && session !== owner, 5_000, 'the new incarnation');
    expect(again.session).toMatch(/^sleeper:/);
    expect(await pendingByConsumer(world(), service)).toEqual({ [b.session!]: 1 });
    expect(runs.leases).toHaveLength(1);
  });

  it('a slow handler of a live process is never taken over', async () => {
    const service = world().service();
    const runs = new Runs();
    const handler = runs.handler(() => new Promise((resolve) => setTimeout(resolve, 4_000)));
    const engine = { session: { ttlMs: 1_500 } };
    const [a] = await Promise.all([world().consumer(service, handler, { engine }), world().consumer(service, handler, { engine })]);
    await a.leases.announce(service, 's');
    await allDone(world(), service);
    expect(runs.leases).toHaveLength(1);
  });

  it('a blocked event loop loses its streams once, and stops working on them in its first turn', async () => {
    const service = world().service();
    const child = await startChild(world(), { service, handler: 'hold' });
    let stale: unknown;
    let first: StreamLease | undefined;
    const seen: StreamLease[] = [];
    const b = await world().consumer(service, async (lease) => {
      seen.push(lease);
      if (first) return untilAborted(lease);
      first = lease;
      const until = performance.now() + 1_300;
      while (performance.now() < until) { /* blocks */ }
      stale = await lease.done().catch((error: unknown) => error);
    }, { engine: { session: { ttlMs: 600 } }, maxLeases: 1 });
    for (let i = 0; !first; i++) {
      await b.leases.announce(service, `s${i}`);
      await waitUntil(async () => (await b.leases.stats(service)).undelivered === 0, { what: 'it is taken' });
    }
    await waitUntil(() => stale !== undefined, { what: 'the late settle is answered' });
    expect(stale).toBeInstanceOf(FencedError);
    expect(first.signal.aborted).toBe(true);
    await child.waitFor(({ type, stream }) => type === 'lease.takenOver' && stream === first!.stream, 5_000, 'the takeover');
    expect(b.all('lease.lost')).toHaveLength(1);
    expect(b.all('lease.completed')).toEqual([]);
  });

  it('a heartbeat of an expired session is refused, reaped or not', async () => {
    const service = world().service();
    const { join, sessions } = internals(world(), service);
    await join('old:1', 200);
    expect((await sessions.heartbeat('old:1', '', 200, 2_000)).status).toBe('live');
    await world().cli(['ZADD', keysOf(service).sessions, 1, 'old:1']);
    expect((await sessions.heartbeat('old:1', '', 60_000, 2_000)).status).toBe('lost');
    expect(await world().cli(['ZSCORE', keysOf(service).sessions, 'old:1'])).toBe('1');
    expect((await sessions.heartbeat('never:1', '', 60_000, 2_000)).status).toBe('lost');
  });

  it('a restarted process takes over from its killed self long before the deadline', async () => {
    const service = world().service();
    const options = { consumerName: 'pod-1', session: { ttlMs: 20_000 } };
    const child = await startChild(world(), { service, handler: 'hold', options });
    await world().engine().leases().announce(service, 's');
    const { owner } = await child.waitFor(({ type }) => type === 'lease.assigned', 5_000, 'the assignment') as unknown as { owner: string };
    await child.kill();
    const startedAt = performance.now();
    const runs = new Runs();
    const b = await world().consumer(service, runs.handler(untilAborted), { engine: options });
    await waitUntil(() => runs.leases.length === 1, { what: 'it has its stream again' });
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    expect(runs.leases[0]).toMatchObject({ recovered: true, previousOwner: owner, attempt: 2 });
    expect(b.session).toMatch(/^pod-1:/);
    expect(b.session).not.toBe(owner);
    await waitUntil(async () => !(await consumersOf(world(), service)).includes(owner), { what: 'the old incarnation is forgotten' });
  });

  it('a second live process of one name gets a clear error, and the first does not notice', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(untilAborted), { engine: { consumerName: 'twin' } });
    await a.leases.announce(service, 's');
    await waitUntil(() => runs.leases.length === 1, { what: 'it has a stream' });
    const session = a.session;
    for (let i = 0; i < 2; i++) {
      await expect(world().consumer(service, untilAborted, { engine: { consumerName: 'twin' } })).rejects.toThrow(ConsumerNameInUseError);
    }
    await expect(world().consumer(service, untilAborted, { engine: { consumerName: 'twin' } })).rejects.toThrow(/"twin" is in use by the live session twin:\w+/);
    expect(a.session).toBe(session);
    expect(a.all('session.lost')).toEqual([]);
    expect(a.all('lease.lost')).toEqual([]);
    expect(runs.leases).toHaveLength(1);
    // The name is free again once its process has left.
    await a.engine.stop();
    await world().consumer(service, untilAborted, { engine: { consumerName: 'twin' } });
  });

  it('a replaced process ends for good instead of fighting, and says why', async () => {
    const service = world().service();
    const terminated: string[] = [];
    const a = await world().consumer(service, { assigned: untilAborted, terminated: ({ reason }) => void terminated.push(reason) },
      { engine: { consumerName: 'twin', session: { ttlMs: 2_000 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.assigned');
    // What a process that was paused while another took its name meets when it wakes.
    const { sessions } = internals(world(), service);
    await world().cli(['ZADD', keysOf(service).sessions, 1, a.session!]);
    const joined = await sessions.join('twin:new', 'twin', 60_000, '10', undefined, 2_000);
    expect(joined.status).toBe('joined');
    await a.saw('session.lost');
    const beating = setInterval(() => void sessions.heartbeat('twin:new', 'twin', 60_000, 2_000), 20);
    try {
      await a.saw('lease.terminated');
    } finally {
      clearInterval(beating);
    }
    expect(a.all('lease.terminated')).toMatchObject([{ reason: 'name-in-use' }]);
    expect(terminated).toEqual(['name-in-use']);
    expect(a.all('lease.lost')).toMatchObject([{ stream: 's', reason: 'session-lost' }]);
    expect(await world().cli(['HGET', keysOf(service).names, 'twin'])).toBe('twin:new');
  });

  it('a name taken from the host may be shared', async () => {
    const service = world().service();
    const [a, b] = await Promise.all([1, 2].map(() => world().consumer(service, untilAborted)));
    expect(a!.session!.split(':')[0]).toBe(b!.session!.split(':')[0]);
    expect(a!.session).not.toBe(b!.session);
    expect((await a!.leases.stats(service)).members).toHaveLength(2);
    expect(await world().cli(['EXISTS', keysOf(service).names])).toBe(0);
  });
});
