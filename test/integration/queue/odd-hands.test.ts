import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { consume } from './support/consumer.js';
import { gate, numbers, Runs } from './support/handlers.js';
import { keysOf, storedIn } from './support/keys.js';
import { drained, lettersOf, pendingOf } from './support/state.js';
import { onTopologies } from './support/world.js';

const byNumber = (a: unknown, b: unknown): number => Number(a) - Number(b);
/** Retries that are due long after all is looked at. */
const LATER = { maxAttempts: 5, initialMs: 700, maxMs: 700, jitter: 0 };

onTopologies(['standalone'], 'XGROUP SETID by hand', (world) => {
  const setId = (queue: string, to: string, group = 'default'): Promise<unknown> => world().cli(['XGROUP', 'SETID', keysOf(queue).messages, group, to], keysOf(queue).messages);

  it('back: what is unsettled is given out anew, what this process holds is not begun again; all of it is settled, nothing is left', async () => {
    const queue = await world().queue();
    const hold = gate();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(async (ctx, n) => {
      if (ctx.data === 'held') await hold.opened;
      if (ctx.data === 'parked') await ctx.deadLetter('parked');
      if (ctx.data === 'again' && n === 1) throw new Error('once');
    }), { concurrency: 4, prefetch: 16, retry: LATER });
    const producer = world().client.queue(queue);
    await producer.sendMany(['done', 'parked', 'held', 'again', ...numbers(10)].map((data) => ({ data })));
    await waitUntil(async () => runs.contexts.length === 14 && (await storedIn(world(), queue)).length === 2, { what: 'one is held, one waits for its retry' });
    for (const to of ['0', '0-1', '0']) {
      await setId(queue, to);
      await producer.send(`after ${to}`);
      await waitUntil(() => runs.data.includes(`after ${to}`), { what: 'it reads on' });
    }
    hold.open();
    await drained(world(), queue);
    expect(runs.ofData('held')).toHaveLength(1);
    for (const data of ['done', 'parked', ...numbers(10)]) expect(runs.ofData(data), String(data)).toHaveLength(1);
    expect(await lettersOf(world(), queue)).toHaveLength(1);
    expect([a.all('session.lost'), a.all('reader.error'), a.errors]).toEqual([[], [], []]);
    expect(Object.values(await pendingOf(world(), queue))).toEqual(expect.arrayContaining([0]));
  });

  it('back, with what waits for a retry given out before its time: its end leaves no record of attempts', async () => {
    const queue = await world().queue();
    const runs = new Runs();
    await consume(world(), queue, runs.handler(({ data }, n) => {
      if (data === 'again' && n === 1) throw new Error('once');
    }), { retry: LATER });
    const since = performance.now();
    await world().client.queue(queue).send('again');
    await waitUntil(async () => Number(await world().cli(['ZCARD', keysOf(queue).retries])) === 1, { what: 'it waits' });
    await setId(queue, '0');
    await world().client.queue(queue).send('wakes the reader');
    await waitUntil(() => runs.ofData('again').length === 2, { what: 'it is given out' });
    expect(performance.now() - since).toBeLessThan(650);
    await drained(world(), queue, { timeoutMs: 5_000 }); // of attempts, too
    expect(runs.contexts).toHaveLength(3);
  });

  it('back, while two processes have their hands full: every message is handled, and every handler is heard without an error', async () => {
    const queue = await world().queue();
    const runs = [new Runs(), new Runs()];
    const all = await Promise.all(runs.map((each) => consume(world(), queue, each.handler(() => new Promise((resolve) => setTimeout(resolve, 2))), { concurrency: 4, prefetch: 32 })));
    const producer = world().client.queue(queue);
    for (let round = 0; round < 8; round++) {
      await producer.sendMany(numbers(60, round * 60).map((data) => ({ data })));
      await setId(queue, '0');
    }
    await drained(world(), queue);
    const seen = runs.flatMap(({ data }) => data);
    expect([...new Set(seen)].sort(byNumber)).toEqual(numbers(480));
    expect(await lettersOf(world(), queue)).toEqual([]);
    for (const { errors, all: each } of all) expect([errors, each.call(all[0], 'session.lost')]).toEqual([[], []]);
  });

  it('back, for one of several groups that has something in its hands: nothing it was set back to is deleted before it has it again', async () => {
    const queue = await world().queue();
    const hold = gate();
    const audit = new Runs();
    let busy = true;
    await consume(world(), queue, audit.handler(({ data }) => (data === 'last' && busy ? hold.opened : undefined)), { group: 'audit', concurrency: 16, prefetch: 16 });
    const slow = gate();
    const other = new Runs();
    await consume(world(), queue, other.handler(({ data }) => (data === 0 ? slow.opened : undefined)), { group: 'other' });
    const producer = world().client.queue(queue);
    await producer.sendMany([...numbers(5), 'last'].map((data) => ({ data })));
    await waitUntil(async () => audit.contexts.length === 6 && (await pendingOf(world(), queue, { group: 'audit' }))[(await world().cli(['ZRANGE', keysOf(queue, { group: 'audit' }).sessions, 0, -1]) as string[])[0]!] === 1, { what: 'audit holds the last' });
    await waitUntil(() => other.contexts.length === 6, { what: 'the other holds the first' });
    await world().client.pause(queue, 'audit');
    await world().cli(['PUBLISH', keysOf(queue).bell, 'look']);
    await setId(queue, '0', 'audit');
    slow.open(); // with which the other has settled all
    await waitUntil(async () => (await pendingOf(world(), queue, { group: 'other' }))[(await world().cli(['ZRANGE', keysOf(queue, { group: 'other' }).sessions, 0, -1]) as string[])[0]!] === 0, { what: 'the other has settled all' });
    expect((await storedIn(world(), queue)).map(({ fields }) => fields['data'])).toEqual([...numbers(5).map(String), '"last"']);
    busy = false;
    hold.open();
    await world().client.resume(queue, 'audit');
    await waitUntil(() => numbers(5).every((n) => audit.ofData(n).length === 2), { what: 'audit has them again' });
    await drained(world(), queue, { groups: ['audit', 'other'] });
  });

  it('forward: what is skipped is gone with the next that is settled; what was held is settled, what comes is handled', async () => {
    const queue = await world().queue();
    const hold = gate();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(() => hold.opened), { concurrency: 2, prefetch: 4 });
    const producer = world().client.queue(queue);
    await producer.sendMany(numbers(20).map((data) => ({ data })));
    await waitUntil(() => a.inner.load().held === 4, { what: 'it holds four' });
    await setId(queue, '$');
    await producer.sendMany(numbers(5, 100).map((data) => ({ data })));
    hold.open();
    await drained(world(), queue);
    expect(runs.data.slice().sort(byNumber)).toEqual([...numbers(4), ...numbers(5, 100)]);
    expect(runs.contexts.every(({ attempt }) => attempt === 1)).toBe(true);
    expect([a.all('session.lost'), a.all('reader.error'), a.errors]).toEqual([[], [], []]);
  });

  it('forward, beyond all there is: it waits as an idle one does, and goes on when set back', async () => {
    const queue = await world().queue();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler());
    await world().client.queue(queue).send(1);
    await drained(world(), queue);
    await setId(queue, '9999999999999-0');
    await world().client.queue(queue).sendMany(numbers(3, 10).map((data) => ({ data })));
    await a.saw('session.renewed', a.all('session.renewed').length + 2);
    expect(runs.data).toEqual([1]);
    await setId(queue, '0');
    await world().client.queue(queue).send(2);
    await drained(world(), queue);
    expect(runs.data).toEqual([1, 10, 11, 12, 2]);
    expect([a.all('session.lost'), a.errors]).toEqual([[], []]);
  });
});
