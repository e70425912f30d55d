import { expect, it } from 'vitest';
import { startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import type { StreamLease } from './support/engine.js';
import { gate, Runs, untilAborted } from './support/handlers.js';
import { internals } from './support/internals.js';
import { allDone, keysOf } from './support/keys.js';
import { onTopologies } from './support/world.js';

onTopologies(['standalone'], 'a server that has lost its last grants', (world) => {
  it('the owner it remembers, whose session lives on, goes on above every token that a handler has had', async () => {
    const server = await startRedis();
    world().onEnd(() => server.stop());
    const service = world().service();
    const runs = new Runs();
    const [again, end] = [gate(), gate()];
    const a = await world().consumer(service, runs.handler(async (lease, n) => {
      if (n === 1) {
        await again.opened;
        await lease.release();
      } else if (n === 2) await end.opened;
    }), { engine: { connection: { url: server.url }, session: { ttlMs: 30_000, heartbeatMs: 500 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.assigned');
    await server.cli('SAVE');
    again.open();
    await a.saw('lease.assigned', 2);
    await server.kill('SIGKILL');
    await server.restart();
    await a.saw('session.renewed', a.all('session.renewed').length + 1);
    end.open();
    await a.saw('lease.completed');
    expect(a.all('session.lost')).toEqual([]);
    const tokens = runs.leases.map(({ token }) => token);
    expect(tokens).toHaveLength(3);
    expect(tokens).toEqual([...new Set(tokens)].sort((x, y) => x - y));
    expect(a.all('lease.completed').map(({ token }) => token)).toEqual([tokens[2]]);
    expect(a.all('lease.assigned').map(({ token }) => token)).toEqual(tokens);
    expect(await server.cli('XLEN', keysOf(service).lbs)).toBe(0);
  });

  it('a stream that is this process\'s by the record alone runs above what others had of it', async () => {
    const service = world().service();
    const { leases, epoch } = keysOf(service);
    const runs = new Runs();
    const holds = [gate(), gate()];
    const a = await world().consumer(service, runs.handler((_, n) => holds[n - 1]?.opened));
    await a.leases.announce(service, 's');
    await a.saw('lease.assigned');
    // As after a restart that forgot a later owner: the record says an older token, and the epoch lies with it.
    const [entry, token, ...rest] = String(await world().cli(['HGET', leases, 's'])).split(' ');
    const older = Number(token) - 1_000_000;
    await world().cli(['HSET', leases, 's', [entry, older, ...rest].join(' ')]);
    await world().cli(['SET', epoch, older]);
    holds[0]!.open();
    await waitUntil(() => runs.leases.length === 2, { what: 'it is found again' });
    expect(runs.leases[1]!.token).toBeGreaterThan(Number(token));
    expect(String(await world().cli(['HGET', leases, 's'])).split(' ').slice(0, 4)).toEqual([entry, String(runs.leases[1]!.token), a.session, '1']);
    expect(Number(await world().cli(['GET', epoch]))).toBe(runs.leases[1]!.token);
    expect(await a.leases.list(service)).toMatchObject([{ stream: 's', token: runs.leases[1]!.token }]);
    holds[1]!.open();
    await allDone(world(), service);
    expect(runs.overlap).toBe(1);
  });

  it('a claim of such a stream as well', async () => {
    const service = world().service();
    const { leases } = keysOf(service);
    const runs: StreamLease[] = [];
    const a = await world().consumer(service, async (lease) => { runs.push(lease); await untilAborted(lease); }, { claim: 'manual', engine: { session: { ttlMs: 30_000 } } });
    await a.leases.announce(service, 's');
    await a.saw('lease.assigned');
    const [entry, token, ...rest] = String(await world().cli(['HGET', leases, 's'])).split(' ');
    await world().cli(['HSET', leases, 's', [entry, Number(token) - 1_000_000, ...rest].join(' ')]);
    await runs[0]!.checkpoint('1-0').catch(() => undefined); // refused: it is lost here
    await a.saw('lease.lost');
    await a.leases.claim(service, 's').catch(() => undefined); // found meanwhile, or claimed
    await waitUntil(() => runs.length === 2, { what: 'it runs again' });
    expect(runs[1]!.token).toBeGreaterThan(Number(token));
  });

  it('a raise is applied once, to the token it names: sent again it answers the same, late it changes nothing', async () => {
    const service = world().service();
    const { store, join, acquire } = internals(world(), service);
    await join('a:1');
    await store.announce('x', 1, 1_000, [{ stream: 's', payload: '{"DataStreamName":"s","Info":{}}', dedupe: 'queued' }]);
    const reply = await acquire('a:1');
    if (reply.status !== 'ok') throw new Error('lost');
    const { token, stream } = reply.grants[0]!;
    const raise = (sequence: number) => store.settle('a:1', sequence, [{ operation: 'raise', stream, token, a: '', b: '' }]);
    const first = await raise(1);
    expect(Number(first![0])).toBeGreaterThan(token);
    expect(await raise(1)).toEqual(first);
    expect(await raise(2)).toEqual(['FENCED']);
    expect(await raise(1)).toBeUndefined();
    expect(await store.settle('a:1', 3, [{ operation: 'done', stream, token: Number(first![0]), a: '', b: '' }])).toEqual(['OK']);
  });
});
