import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { Runs } from './support/handlers.js';
import { internals } from './support/internals.js';
import { allDone, keysOf, pendingByConsumer, xadd } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

const backoff = { initialMs: 40, factor: 2, maxMs: 1_000, jitter: 0 };

onTopologies(BOTH, 'retry', (world) => {
  it('runs again after a growing delay, with the attempt counted and a new token', async () => {
    const service = world().service();
    const at: number[] = [];
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler((_, n) => {
      at.push(performance.now());
      if (n < 4) throw new Error(`failure ${n}`);
    }), { backoff });
    await a.leases.announce(service, 's');
    await allDone(world(), service);
    expect(runs.leases.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    for (let i = 1; i < 4; i++) {
      expect(runs.leases[i]!.token).toBeGreaterThan(runs.leases[i - 1]!.token);
      expect(at[i]! - at[i - 1]!).toBeGreaterThanOrEqual(40 * 2 ** (i - 1) - 2);
      expect(at[i]! - at[i - 1]!).toBeLessThan(40 * 2 ** (i - 1) + 2_000);
    }
    expect(a.all('lease.retried').map(({ attempt, delayMs, error }) => [attempt, delayMs, error.message])).toEqual([
      [1, 40, 'failure 1'], [2, 80, 'failure 2'], [3, 160, 'failure 3'],
    ]);
    expect(a.errors.map(({ message }) => message)).toEqual(['failure 1', 'failure 2', 'failure 3']);
    expect(runs.overlap).toBe(1);
  });

  it('waits in nobody\'s hands meanwhile, and says until when', async () => {
    const service = world().service();
    const a = await world().consumer(service, () => { throw new Error('no'); }, { backoff: { ...backoff, initialMs: 30_000, maxMs: 30_000 } });
    await a.leases.announce(service, 's');
    await waitUntil(async () => (await a.leases.stats(service)).free === 1, { what: 'the stream waits for its retry' });
    expect(Object.keys(await pendingByConsumer(world(), service))).toEqual(['unassigned']);
    expect(await a.leases.list(service)).toMatchObject([{ stream: 's', state: 'retrying', owner: a.session, attempt: 1, failures: 1 }]);
    expect(a.leases.held(service)).toEqual([]);
  });

  it('prefers another consumer that is free', async () => {
    const service = world().service();
    const runs = new Runs();
    const handler = runs.handler((_, n) => { if (n === 1) throw new Error('not here'); });
    for (let round = 0; round < 3; round++) {
      runs.leases.length = 0;
      const [a, b] = await Promise.all(['a', 'b'].map((name) =>
        world().consumer(service, handler, { backoff: { ...backoff, initialMs: 20 }, engine: { consumerName: `${name}${round}` } })));
      await a!.leases.announce(service, `s${round}`);
      await allDone(world(), service);
      await waitUntil(() => runs.leases.length === 2, { what: 'it ran twice' });
      expect(runs.leases[1]!.owner).not.toBe(runs.leases[0]!.owner);
      expect(runs.leases[1]!.previousOwner).toBe(runs.leases[0]!.owner);
      expect(runs.leases[1]!.recovered).toBe(false);
      await Promise.all([a!.engine.stop(), b!.engine.stop()]);
    }
  });

  it('prefers another process also when both share the host\'s name', async () => {
    const service = world().service();
    const runs = new Runs();
    const handler = runs.handler((_, n) => { if (n === 1) throw new Error('not here'); });
    const engine = { session: { ttlMs: 30_000 } };
    const [a] = await Promise.all([1, 2].map(() => world().consumer(service, handler, { backoff: { ...backoff, initialMs: 20 }, engine })));
    await a!.leases.announce(service, 's');
    const startedAt = performance.now();
    await allDone(world(), service);
    await waitUntil(() => runs.leases.length === 2, { what: 'it ran twice' });
    expect(runs.leases[1]!.owner).not.toBe(runs.leases[0]!.owner);
    // At once: not after the 10 s, a heartbeat, for which its own name is avoided.
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  it('a peer without room does not keep the stream from its only possible owner', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler((lease, n) => { if (lease.stream === 'again' && n === 1) throw new Error('once'); }),
      { backoff, engine: { consumerName: 'a' } });
    const b = await world().consumer(service, (lease) => new Promise((resolve) => lease.signal.addEventListener('abort', resolve)),
      { maxLeases: 1, engine: { consumerName: 'b' } });
    for (let i = 0; b.leases.held(service).length === 0; i++) {
      await a.leases.announce(service, `filler${i}`);
      await waitUntil(async () => (await a.leases.stats(service)).undelivered === 0, { what: 'the filler is taken' });
    }
    await a.leases.announce(service, 'again');
    await waitUntil(() => runs.of('again').length === 2, { what: 'it runs again', timeoutMs: 5_000 });
  });

  it('after maxAttempts failures in a row: the dead-letter stream, with the error', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(() => { throw new RangeError('broken beyond repair'); }), { maxAttempts: 3, backoff: { ...backoff, initialMs: 5 } });
    await a.leases.announce(service, 's');
    await allDone(world(), service);
    expect(runs.leases.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(await a.leases.deadLetters(service)).toMatchObject([
      { reason: 'max-attempts', error: 'RangeError: broken beyond repair', attempts: 3, stream: 's' },
    ]);
    await a.saw('lease.deadLettered');
    expect(a.all('lease.deadLettered')).toHaveLength(1);
    expect(await a.leases.stats(service)).toMatchObject({ deadLetters: 1, free: 0, held: 0 });
    expect(await world().cli(['HLEN', keysOf(service).leases])).toBe(0);
  });

  it('a stream that kills each process that takes it ends in the dead letters at maxTakeovers', async () => {
    const service = world().service();
    const { join, acquire } = internals(world(), service);
    await xadd(world(), service, 'poison');
    for (let i = 1; i <= 3; i++) {
      await join(`victim${i}:1`);
      const reply = await acquire(`victim${i}:1`);
      expect(reply.status === 'ok' && reply.grants.map(({ attempt, takeovers }) => [attempt, takeovers])).toEqual([[i, i - 1]]);
      await world().cli(['ZADD', keysOf(service).sessions, 1, `victim${i}:1`]);
    }
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(), { maxTakeovers: 2 });
    await a.leases.announce(service, 'good');
    await allDone(world(), service);
    expect(runs.streams).toEqual(['good']);
    expect(await a.leases.deadLetters(service)).toMatchObject([{ reason: 'max-takeovers', stream: 'poison', attempts: 4 }]);
  });

  it('progress starts the count anew: a checkpoint further on', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(async (lease, n) => {
      await lease.checkpoint(`${n}-0`);
      if (n < 7) throw new Error('again');
    }), { maxAttempts: 2, backoff: { ...backoff, initialMs: 5 } });
    await a.leases.announce(service, 's');
    await a.saw('lease.completed');
    expect(runs.leases.map(({ attempt, lastCheckpoint }) => [attempt, lastCheckpoint])).toHaveLength(7);
    expect(await world().cli(['EXISTS', keysOf(service).dead])).toBe(0);
    expect(a.all('lease.retried').map(({ delayMs }) => delayMs)).toEqual([5, 5, 5, 5, 5, 5]);
  });

  it('the same checkpoint again is no progress', async () => {
    const service = world().service();
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(async (lease) => {
      await lease.checkpoint('1-0');
      throw new Error('stuck');
    }), { maxAttempts: 3, backoff: { ...backoff, initialMs: 5 } });
    await a.leases.announce(service, 's');
    await allDone(world(), service);
    // The first checkpoint was progress; two failures in a row may follow it.
    await waitUntil(async () => (await a.leases.deadLetters(service)).length === 1, { what: 'it is given up' });
    expect(runs.leases.length).toBe(3);
  });

  it('survives a throw of anything', async () => {
    const service = world().service();
    const things: unknown[] = [undefined, null, 'text', 0, { a: 1 }, Object.create(null), Symbol('s')];
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler((_, n) => {
      if (n <= things.length) throw things[n - 1];
    }), { maxAttempts: 100, backoff: { ...backoff, initialMs: 1, maxMs: 1 } });
    await a.leases.announce(service, 's');
    await a.saw('lease.completed');
    expect(runs.leases).toHaveLength(things.length + 1);
    expect(a.errors).toHaveLength(things.length);
  });
});
