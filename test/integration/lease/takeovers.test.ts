import { expect } from 'vitest';
import { it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { internals } from './support/internals.js';
import { Runs } from './support/handlers.js';
import { keysOf, xadd } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'streams whose owners die', (world) => {
  /** Takes the stream under a new session and dies with it, `times` over; answers the last token. */
  async function kill(service: string, times: number, before?: (session: string, token: number) => Promise<unknown>): Promise<void> {
    const { join, acquire } = internals(world(), service);
    for (let i = 0; i < times; i++) {
      const session = `dying:${process.hrtime.bigint()}`;
      await join(session);
      const reply = await acquire(session);
      if (reply.status !== 'ok' || !reply.grants[0]) throw new Error('nothing to die with');
      await before?.(session, reply.grants[0].token);
      await world().cli(['ZADD', keysOf(service).sessions, 1, session]);
    }
  }

  it('go to the dead-letter stream past maxTakeovers, before a handler sees them again', async () => {
    const service = world().service();
    await xadd(world(), service, 'poison');
    await kill(service, 3); // the first owner took it new, two took it over
    const runs = new Runs();
    const a = await world().consumer(service, runs.handler(), { maxTakeovers: 2 });
    const [letter] = await waitUntil(async () => {
      const letters = await a.leases.deadLetters(service);
      return letters.length === 1 && letters;
    }, { what: 'it is parked' }) as Array<{ reason: string; stream?: string; attempts: number }>;
    expect(letter).toMatchObject({ reason: 'max-takeovers', stream: 'poison', attempts: 4 });
    expect(runs.leases).toEqual([]);
    expect(await a.leases.stats(service)).toMatchObject({ held: 0, expired: 0, undelivered: 0, deadLetters: 1 });
  });

  it('are run while they stay within it, and without it for ever', async () => {
    for (const options of [{ maxTakeovers: 3 }, {}]) {
      const service = world().service();
      await xadd(world(), service, 's');
      await kill(service, 3);
      const runs = new Runs();
      await world().consumer(service, runs.handler(), options);
      await waitUntil(() => runs.leases.length === 1, { what: 'it runs' });
      expect(runs.leases[0]).toMatchObject({ stream: 's', attempt: 4, recovered: true });
    }
  });

  it('start over after a checkpoint: that owner got somewhere', async () => {
    const service = world().service();
    await xadd(world(), service, 's');
    const { store } = internals(world(), service);
    await kill(service, 3);
    await kill(service, 1, (session, token) =>
      store.settle(session, 1, [{ operation: 'checkpoint', stream: 's', token, a: '1-1', b: '' }]));
    const runs = new Runs();
    await world().consumer(service, runs.handler(), { maxTakeovers: 1 });
    await waitUntil(() => runs.leases.length === 1, { what: 'it runs' });
    expect(runs.leases[0]!.lastCheckpoint).toBe('1-1');
  });
});
