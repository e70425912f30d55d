import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { FencedError } from './support/engine.js';
import { gate, Runs } from './support/handlers.js';
import { internals } from './support/internals.js';
import { allDone, keysOf, pendingTotal, xadd } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'fencing tokens', (world) => {
  const rising = (tokens: readonly number[]): boolean => tokens.every((token, i) => Number.isSafeInteger(token) && (i === 0 || token > tokens[i - 1]!));

  it('rise over takeovers, releases, retries and claims', async () => {
    const service = world().service();
    const { join, acquire, store } = internals(world(), service);
    await xadd(world(), service, 's');
    const tokens: number[] = [];
    for (let i = 0; i < 12; i++) {
      const session = `c${i}:1`;
      await join(session);
      const reply = await acquire(session);
      if (reply.status !== 'ok' || !reply.grants[0]) throw new Error(`nothing for ${session}`);
      const { token } = reply.grants[0];
      tokens.push(token);
      const operation = (['retry', 'release', undefined] as const)[i % 3];
      if (operation) await store.settle(session, 1, [{ operation, stream: 's', token, a: '0', b: '' }]);
      await world().cli(['ZADD', keysOf(service).sessions, 1, session]);
      if (i % 4 === 3) {
        await join(`claimer${i}:1`);
        const claimed = await store.claim(`claimer${i}:1`, 's');
        if (claimed.status !== 'claimed') throw new Error(claimed.status);
        tokens.push(claimed.grant.token);
        await world().cli(['ZADD', keysOf(service).sessions, 1, `claimer${i}:1`]);
      }
    }
    expect(tokens).toHaveLength(15);
    expect(rising(tokens)).toBe(true);
  });

  it('are different for all streams granted in one call, and never equal across calls', async () => {
    const service = world().service();
    const { join, acquire } = internals(world(), service);
    for (let i = 0; i < 50; i++) await xadd(world(), service, `s${i}`);
    await join('a:1');
    const tokens: number[] = [];
    while (tokens.length < 50) {
      const reply = await acquire('a:1', { want: 10 });
      if (reply.status === 'ok') tokens.push(...reply.grants.map(({ token }) => token));
    }
    expect(rising(tokens)).toBe(true);
  });

  it('do not go back when the stored one is ahead of the clock', async () => {
    const service = world().service();
    const { join, acquire } = internals(world(), service);
    await xadd(world(), service, 's');
    await join('a:1');
    const ahead = Date.now() * 1_000 + 86_400_000_000;
    await world().cli(['SET', keysOf(service).epoch, ahead]);
    const reply = await acquire('a:1');
    expect(reply.status === 'ok' && reply.grants[0]?.token).toBe(ahead + 1);
  });

  it.each(['FLUSHALL', 'a restart without data'])('do not go back after %s; who held the stream before is refused', async (fault) => {
    if (fault !== 'FLUSHALL' && world().kind === 'cluster') return; // an emptied node would have forgotten its slots
    const service = world().service();
    const runs = new Runs();
    const hold = gate();
    const late: unknown[] = [];
    const a = await world().consumer(service, runs.handler(async (lease, n) => {
      if (n > 1) return;
      await hold.opened;
      late.push(await lease.done().catch((error: unknown) => error));
    }));
    await a.leases.announce(service, 's');
    await waitUntil(() => runs.leases.length === 1, { what: 'the first run' });
    if (fault === 'FLUSHALL') await world().everywhere('FLUSHALL');
    else for (const server of world().topology.servers) await server.restart({ empty: true });
    const lostAt = performance.now();
    await waitUntil(async () => (await a.leases.announce(service, 's')) && runs.leases.length >= 2, { what: 'it is announced and runs again', timeoutMs: 10_000 });
    expect(performance.now() - lostAt).toBeLessThan(5_000);
    expect(runs.leases[1]!.token).toBeGreaterThan(runs.leases[0]!.token);
    hold.open();
    await waitUntil(() => late.length === 1, { what: 'the old run settles' });
    expect(late[0]).toBeInstanceOf(FencedError);
    await allDone(world(), service);
    expect(await pendingTotal(world(), service)).toBe(0);
  });
});
