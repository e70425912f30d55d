import { describe, expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { BackpressureError, ClosedError, InvalidOptionsError } from './support/engine.js';
import { gate, Runs, untilAborted } from './support/handlers.js';
import { internals } from './support/internals.js';
import { allDone, keysOf, xadd } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'announce', (world) => {
  const length = async (service: string): Promise<number> => Number(await world().cli(['XLEN', keysOf(service).lbs]));

  it('writes exactly what any other producer would write', async () => {
    const service = world().service();
    const { id, status } = await world().engine().leases().announce(service, 's', { a: 1 });
    expect(status).toBe('announced');
    expect(await world().cli(['XRANGE', keysOf(service).lbs, '-', '+'])).toEqual([[id, ['lbs-input', '{"DataStreamName":"s","Info":{"a":1}}']]]);
  });

  describe('while the stream waits for its first owner', () => {
    it.each([
      ['queued', 'duplicate', 1],
      ['open', 'duplicate', 1],
      ['off', 'announced', 2],
    ] as const)('dedupe %s: %s', async (dedupe, status, entries) => {
      const service = world().service();
      const leases = world().engine().leases();
      const first = await leases.announce(service, 's');
      const second = await leases.announce(service, 's', {}, { dedupe });
      expect(second.status).toBe(status);
      expect(second.id === first.id).toBe(status === 'duplicate');
      expect(await length(service)).toBe(entries);
    });

    it('absorbs nothing once the waiting announcement was deleted by hand', async () => {
      const service = world().service();
      const leases = world().engine().leases();
      const { id } = await leases.announce(service, 's');
      await world().cli(['XDEL', keysOf(service).lbs, id]);
      expect((await leases.announce(service, 's')).status).toBe('announced');
      expect((await leases.announce(service, 's')).status).toBe('duplicate');
      expect(await length(service)).toBe(1);
    });
  });

  describe('while the stream is owned', () => {
    it.each([
      ['queued', 2],
      ['open', 1],
      ['off', 2],
    ] as const)('dedupe %s: it runs %i time(s) in all, one owner at any moment', async (dedupe, times) => {
      const service = world().service();
      const runs = new Runs();
      const first = gate();
      const handler = runs.handler((_, n) => (n === 1 ? first.opened : undefined));
      const [a] = await Promise.all([world().consumer(service, handler), world().consumer(service, handler)]);
      await a.leases.announce(service, 's', { n: 1 });
      await waitUntil(() => runs.leases.length === 1, { what: 'the first run' });
      await a.leases.announce(service, 's', { n: 2 }, { dedupe });
      // Both consumers have seen the second announcement before the first run ends.
      if (times === 2) await waitUntil(async () => (await a.leases.stats(service)).followUps === 1, { what: 'the second announcement waits' });
      expect(runs.leases).toHaveLength(1);
      first.open();
      await allDone(world(), service);
      expect(runs.of('s').map(({ info }) => info['n'])).toEqual([1, 2].slice(0, times));
      expect(runs.overlap).toBe(1);
      const tokens = runs.leases.map(({ token }) => token);
      expect([...tokens].sort((x, y) => x - y)).toEqual(tokens);
      expect(await a.leases.stats(service)).toMatchObject({ undelivered: 0, held: 0, free: 0, followUps: 0, expired: 0, deadLetters: 0 });
    });

    it('of several later announcements only the newest runs, whoever made them', async () => {
      const service = world().service();
      const runs = new Runs();
      const first = gate();
      const a = await world().consumer(service, runs.handler((_, n) => (n === 1 ? first.opened : undefined)));
      await a.leases.announce(service, 's', { n: 1 });
      await waitUntil(() => runs.leases.length === 1, { what: 'the first run' });
      await xadd(world(), service, 's', { n: 2 });
      await a.leases.announce(service, 's', { n: 3 }, { dedupe: 'off' });
      await xadd(world(), service, 's', { n: 4 });
      await waitUntil(async () => await length(service) === 2, { what: 'only the newest is kept beside the open one' });
      first.open();
      await allDone(world(), service);
      expect(runs.leases.map(({ info }) => info['n'])).toEqual([1, 4]);
      expect(runs.overlap).toBe(1);
    });

    it('keeps the follow-up when the owner fails, and runs it after the retry', async () => {
      const service = world().service();
      const runs = new Runs();
      const first = gate();
      const a = await world().consumer(service, runs.handler(async (_, n) => {
        if (n > 1) return;
        await first.opened;
        throw new Error('first try fails');
      }), { backoff: { initialMs: 20, jitter: 0 } });
      await a.leases.announce(service, 's', { n: 1 });
      await waitUntil(() => runs.leases.length === 1, { what: 'the first run' });
      await a.leases.announce(service, 's', { n: 2 });
      await waitUntil(async () => (await a.leases.stats(service)).followUps === 1, { what: 'the second announcement waits' });
      first.open();
      await allDone(world(), service);
      expect(runs.leases.map(({ info, attempt }) => [info['n'], attempt])).toEqual([[1, 1], [1, 2], [2, 1]]);
    });

    it('keeps the follow-up when the stream ends in the dead letters', async () => {
      const service = world().service();
      const runs = new Runs();
      const first = gate();
      const a = await world().consumer(service, runs.handler(async (lease, n) => {
        if (n > 1) return;
        await first.opened;
        await lease.deadLetter('poison');
      }));
      await a.leases.announce(service, 's', { n: 1 });
      await waitUntil(() => runs.leases.length === 1, { what: 'the first run' });
      await a.leases.announce(service, 's', { n: 2 });
      await waitUntil(async () => (await a.leases.stats(service)).followUps === 1, { what: 'the second announcement waits' });
      first.open();
      await allDone(world(), service);
      expect(runs.leases.map(({ info }) => info['n'])).toEqual([1, 2]);
    });
  });

  it('a stream announced by XADD before the service announces it runs twice, never at once', async () => {
    const service = world().service();
    const runs = new Runs();
    await xadd(world(), service, 's', { n: 1 });
    const leases = world().engine().leases();
    await leases.announce(service, 's', { n: 2 });
    const handler = runs.handler();
    await Promise.all([world().consumer(service, handler), world().consumer(service, handler)]);
    await allDone(world(), service);
    expect(runs.leases.map(({ info }) => info['n'])).toEqual([1, 2]);
    expect(runs.overlap).toBe(1);
  });

  it('a batch sent again under its sequence adds nothing, and is answered as before', async () => {
    const service = world().service();
    const { store } = internals(world(), service);
    const items = [1, 2, 3].map((n) => ({ stream: `s${n % 2}`, payload: `{"DataStreamName":"s${n % 2}"}`, dedupe: 'queued' }));
    const first = await store.announce('a', 1, 60_000, items);
    const again = await store.announce('a', 1, 60_000, items);
    expect(again).toEqual(first);
    expect(first[2]).toBe(`=${first[0]}`);
    expect(await length(service)).toBe(2);
    await store.announce('a', 2, 60_000, items.map((item) => ({ ...item, dedupe: 'off' })));
    expect(await length(service)).toBe(5);
  });

  it('a batch that arrives after a later one, from a connection given up, adds nothing', async () => {
    const service = world().service();
    const { store } = internals(world(), service);
    const items = [{ stream: 's', payload: '{"DataStreamName":"s"}', dedupe: 'off' }];
    await store.announce('a', 1, 60_000, items);
    const second = await store.announce('a', 2, 60_000, items);
    await store.announce('a', 1, 60_000, items);
    expect(await length(service)).toBe(2);
    expect(await store.announce('a', 2, 60_000, items)).toEqual(second);
    expect(await length(service)).toBe(2);
  });

  it('keeps the order of one announcer, across batches', async () => {
    const service = world().service();
    const leases = world().engine().leases();
    const results = await leases.announceMany(service, Array.from({ length: 1_000 }, (_, i) => ({ stream: `s${i}`, info: { i } })));
    const entries = await world().cli(['XRANGE', keysOf(service).lbs, '-', '+']) as [string, [string, string]][];
    expect(entries.map(([id]) => id)).toEqual(results.map(({ id }) => id));
    expect(entries.map(([, [, payload]]) => (JSON.parse(payload) as { Info: { i: number } }).Info.i)).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
  });

  it('is bounded: what is beyond the buffer is refused, what was accepted is sent', async () => {
    const service = world().service();
    const leases = world().engine().leases();
    const most = 100_000;
    const results = await Promise.allSettled(Array.from({ length: most + 3 }, () => leases.announce(service, 's')));
    const refused = results.filter((result) => result.status === 'rejected');
    expect(refused).toHaveLength(3);
    for (const { reason } of refused) {
      expect(reason).toBeInstanceOf(BackpressureError);
      expect((reason as BackpressureError).retriable).toBe(true);
    }
    expect(await length(service)).toBe(1);
  });

  it('names every wrong argument at once', async () => {
    const leases = world().engine().leases();
    await expect(leases.announce('bad name', '', [] as never, { dedupe: 'maybe' as never })).rejects.toThrow(InvalidOptionsError);
    await expect(leases.announce('bad name', '', [] as never, { dedupe: 'maybe' as never })).rejects.toThrow(/service[^]*stream[^]*info[^]*dedupe/);
  });

  it('sends what waits when the engine stops, refuses later calls, and leaves no key of the announcer', async () => {
    const service = world().service();
    const engine = world().engine();
    const sent = engine.leases().announceMany(service, Array.from({ length: 500 }, (_, i) => ({ stream: `s${i}` })));
    await engine.stop();
    expect((await sent).every(({ status }) => status === 'announced')).toBe(true);
    expect(await length(service)).toBe(500);
    await expect(engine.leases().announce(service, 's')).rejects.toThrow(ClosedError);
    expect((await world().allKeys()).filter((key) => key.includes(`{${keysOf(service).lbs}}:announcer`))).toEqual([]);
  });

  it('lists and counts what it announced', async () => {
    const service = world().service();
    const a = await world().consumer(service, untilAborted, { maxLeases: 2, engine: { session: { ttlMs: 20_000 } } });
    await a.leases.announceMany(service, [1, 2, 3].map((n) => ({ stream: `s${n}` })));
    await a.saw('lease.assigned', 2);
    const rows = (await a.leases.list(service)).sort((x, y) => (x.stream < y.stream ? -1 : 1));
    expect(rows).toMatchObject([
      { stream: 's1', state: 'held', owner: a.session, attempt: 1, failures: 0 },
      { stream: 's2', state: 'held', owner: a.session, attempt: 1 },
      { stream: 's3', state: 'queued', attempt: 0 },
    ]);
    expect(rows.every(({ ageMs }) => ageMs >= 0 && ageMs < 10_000)).toBe(true);
    expect(await a.leases.list(service, { states: ['queued'] })).toHaveLength(1);
    expect(await a.leases.list(service, { owner: a.session!.split(':')[0]! })).toHaveLength(2);
    const stats = await a.leases.stats(service);
    // A read that was waiting may have been served the third one, which it then had to leave to others.
    expect(stats.undelivered + stats.free).toBe(1);
    expect(stats).toMatchObject({ held: 2, members: [{ session: a.session, live: true, held: 2, capacity: 2 }] });
  });
});
