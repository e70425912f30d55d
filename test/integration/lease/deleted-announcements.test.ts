import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { Runs, untilAborted } from './support/handlers.js';
import { type Internals, internals } from './support/internals.js';
import { allDone, keysOf, pendingTotal } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'an announcement deleted by hand while another waits behind it', (world) => {
  it('given back by a stop: the one behind it runs at a peer, from the checkpoint on', async () => {
    const service = world().service();
    const { lbs } = keysOf(service);
    const a = await world().consumer(service, untilAborted);
    const first = await a.leases.announce(service, 's', { n: 1 });
    await a.saw('lease.assigned');
    await a.leases.held(service)[0]!.checkpoint('5-0');
    await a.leases.announce(service, 's', { n: 2 });
    await waitUntil(async () => (await a.leases.stats(service)).followUps === 1, { what: 'the second waits' });
    await world().cli(['XDEL', lbs, first.id]);
    const runs = new Runs();
    const b = await world().consumer(service, runs.handler());
    await a.engine.stop();
    await allDone(world(), service);
    expect(runs.leases.map(({ info, attempt, lastCheckpoint }) => [info, attempt, lastCheckpoint])).toEqual([[{ n: 2 }, 1, '5-0']]);
    expect(await b.leases.stats(service)).toMatchObject({ free: 0, followUps: 0, held: 0, expired: 0, undelivered: 0 });
    expect(await b.leases.list(service)).toEqual([]);
  });

  interface Case { readonly service: string; readonly id: string; readonly inner: Internals }
  const ways: Record<string, (kase: Case) => Promise<unknown>> = {
    'its owner dies': ({ service }) => world().cli(['ZADD', keysOf(service).sessions, 1, 'a:1']),
    'its owner leaves': ({ inner }) => inner.store.leave('a:1', ''),
    'its owner dies, and it is claimed by hand': async ({ service, inner }) => {
      await world().cli(['ZADD', keysOf(service).sessions, 1, 'a:1']);
      expect(await inner.store.claim('b:1', 's')).toEqual({ status: 'gone' });
    },
    'its owner gives it back': async ({ inner, service }) => {
      const [view] = await world().engine().leases().list(service);
      expect(await inner.store.settle('a:1', 1, [{ operation: 'release', stream: 's', token: view!.token, a: '', b: '' }])).toEqual(['OK']);
    },
    'its owner has not heard that it is its own': ({ inner, id }) => inner.acquire('a:1', { offered: [id], want: 0 }),
  };

  it.each(Object.keys(ways))('%s: the one behind it is granted', async (way) => {
    const service = world().service();
    const inner = internals(world(), service);
    await inner.join('a:1');
    await inner.join('b:1');
    const announce = async (n: number): Promise<string> => (await inner.store.announce('x', n, 1_000, [{ stream: 's', payload: `{"DataStreamName":"s","Info":{"n":${n}}}`, dedupe: 'queued' }]))[0]!;
    const id = await announce(1);
    await inner.acquire('a:1');
    const second = await announce(2);
    await inner.acquire('a:1');
    expect(await world().cli(['HGET', keysOf(service).followUps, 's'])).toBe(second);
    await world().cli(['XDEL', keysOf(service).lbs, id]);
    await ways[way]!({ service, id, inner });
    const granted: string[] = [];
    for (let i = 0; i < 2; i++) {
      const reply = await inner.acquire('b:1');
      if (reply.status === 'ok') granted.push(...reply.grants.map(({ entryId, attempt }) => `${entryId} ${attempt}`));
    }
    expect(granted).toEqual([`${second} 1`]);
    expect(await pendingTotal(world(), service)).toBe(1);
    expect(await world().cli(['HLEN', keysOf(service).followUps])).toBe(0);
    expect(await world().cli(['ZCARD', keysOf(service).free])).toBe(0);
  });
});
