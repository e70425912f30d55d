import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import type { ErrorContext } from './support/engine.js';
import { gate, Runs, untilAborted } from './support/handlers.js';
import { allDone, keysOf } from './support/keys.js';
import { onTopologies } from './support/world.js';

onTopologies(['standalone'], 'ends that the server refuses for a while', (world) => {
  /** Puts a string in the place of a key, and answers what puts the key back. */
  async function replace(key: string): Promise<() => Promise<void>> {
    const existed = await world().cli(['EXISTS', key]);
    if (existed) await world().cli(['RENAME', key, `${key}:away`]);
    await world().cli(['SET', key, 'foreign']);
    return async () => {
      if (existed) await world().cli(['RENAME', `${key}:away`, key]);
      else await world().cli(['DEL', key]);
    };
  }

  /** What `onError` was told of settles. */
  function told(): { refusals: Array<[string | undefined, string]>; onError(error: unknown, context: ErrorContext): void } {
    const refusals: Array<[string | undefined, string]> = [];
    return {
      refusals,
      onError: (error, { stream, during }) => { if (during?.startsWith('settling')) refusals.push([stream, String(error)]); },
    };
  }

  it('a handler that returned: done is asked for again until it is accepted; told once', async () => {
    const service = world().service();
    const { leases } = keysOf(service);
    const runs = new Runs();
    const hold = gate();
    const { refusals, onError } = told();
    const a = await world().consumer(service, runs.handler(() => hold.opened), { engine: { onError } });
    await a.leases.announce(service, 's');
    await a.saw('lease.assigned');
    const mend = await replace(leases);
    hold.open();
    await waitUntil(() => refusals.length === 1, { what: 'it was refused' });
    const renewed = a.all('session.renewed').length;
    await a.saw('session.renewed', renewed + 8); // more than a second try has been refused by then
    await mend();
    await a.saw('lease.completed');
    expect(runs.leases).toHaveLength(1);
    expect(refusals).toEqual([['s', expect.stringContaining('WRONGTYPE')]]);
    expect([...a.all('lease.retried'), ...a.all('lease.lost')]).toEqual([]);
    await allDone(world(), service);
    expect(a.leases.held(service)).toEqual([]);
  });

  it('a handler that threw: its retry, and its dead letter, are asked for again', async () => {
    const service = world().service();
    const { leases } = keysOf(service);
    const runs = new Runs();
    const holds = [gate(), gate()];
    const { refusals, onError } = told();
    const a = await world().consumer(service, runs.handler(async (_, n) => {
      await holds[n - 1]!.opened;
      throw new Error(`failure ${n}`);
    }), { maxAttempts: 2, backoff: { initialMs: 10 }, engine: { onError } });
    await a.leases.announce(service, 's');
    for (const [i, hold] of holds.entries()) {
      await waitUntil(() => runs.leases.length === i + 1, { what: `run ${i + 1}` });
      const mend = await replace(leases);
      hold.open();
      await waitUntil(() => refusals.length === i + 1, { what: 'it was refused' });
      await mend();
    }
    await a.saw('lease.deadLettered');
    await allDone(world(), service);
    expect(runs.leases.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(a.all('lease.retried')).toHaveLength(1);
    expect(await a.leases.deadLetters(service)).toMatchObject([{ stream: 's', reason: 'max-attempts', attempts: 2 }]);
  });

  it('a key in the way of one end leaves none half applied: each is accepted once, and none is called lost', async () => {
    const service = world().service();
    const { checkpoints } = keysOf(service);
    const runs = new Runs();
    const hold = gate();
    const { refusals, onError } = told();
    const a = await world().consumer(service, runs.handler(() => hold.opened), { engine: { onError } });
    await a.leases.announceMany(service, ['s', 't'].map((stream) => ({ stream })));
    await a.saw('lease.assigned', 2);
    await a.leases.announce(service, 's'); // a follow-up waits: it must not be forgotten either
    await waitUntil(async () => (await a.leases.stats(service)).followUps === 1, { what: 'the follow-up waits' });
    const mend = await replace(checkpoints);
    hold.open();
    await waitUntil(() => refusals.length === 2, { what: 'both were refused' });
    await mend();
    await allDone(world(), service);
    await a.saw('lease.completed', 3);
    expect([...a.all('lease.lost'), ...a.all('lease.fenced')]).toEqual([]);
    expect(runs.streams.map((stream) => runs.of(stream).length)).toEqual([2, 1]);
  });

  it('a lease without a handler that is asked back: its release is asked for again', async () => {
    const service = world().service();
    const { checkpoints } = keysOf(service);
    const { refusals, onError } = told();
    const a = await world().consumer(service, () => undefined, { settle: 'manual', handOver: true, engine: { onError } });
    await a.leases.announceMany(service, [1, 2, 3, 4].map((n) => ({ stream: `s${n}` })));
    await a.saw('lease.assigned', 4);
    const mend = await replace(checkpoints);
    const runs = new Runs();
    await world().consumer(service, runs.handler(untilAborted));
    await waitUntil(() => refusals.length === 2, { what: 'both releases were refused' });
    await mend();
    await waitUntil(() => runs.leases.length === 2, { what: 'the peer has its share' });
    expect(a.leases.held(service)).toHaveLength(2);
  });

  it('a stop does not wait longer for it than for a handler', async () => {
    const service = world().service();
    const { leases } = keysOf(service);
    const hold = gate();
    const { refusals, onError } = told();
    const a = await world().consumer(service, () => hold.opened, { engine: { onError, shutdown: { drainMs: 1_000 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.assigned');
    const mend = await replace(leases);
    hold.open();
    await waitUntil(() => refusals.length === 1, { what: 'it was refused' });
    const startedAt = performance.now();
    await a.engine.stop();
    expect(performance.now() - startedAt).toBeLessThan(6_000);
    await mend();
    const runs = new Runs();
    await world().consumer(service, runs.handler());
    await waitUntil(() => runs.leases.length === 1, { what: 'a peer has it' });
  });
});
