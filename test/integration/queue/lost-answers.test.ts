import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { type Cutter, shaOf, startCutter } from '../support/cutter.js';
import { consume } from './support/consumer.js';
import { gate, numbers, Runs } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { drained, ghost, lettersOf, pendingOf } from './support/state.js';
import { onTopologies } from './support/world.js';

const byNumber = (a: unknown, b: unknown): number => Number(a) - Number(b);

onTopologies(['standalone'], 'lost answers', (world) => {
  async function through(ttlMs = 9_000): Promise<{ proxy: Cutter; engine: object }> {
    const { topology } = world();
    if (topology.kind !== 'standalone') throw new Error('one server');
    const proxy = await startCutter(topology.server.port);
    world().onEnd(() => proxy.stop());
    return { proxy, engine: { connection: { url: proxy.url }, session: { ttlMs } } };
  }

  it('of a read: what the server has given is found, and runs once, long before any deadline', async () => {
    const queue = await world().queue();
    const { proxy, engine } = await through();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(), { engine });
    const producer = world().client.queue(queue);
    for (let round = 0; round < 2; round++) {
      proxy.cutAfter('XREADGROUP');
      await producer.send(round * 10); // answers the read that waits; the next one is lost
      await waitUntil(() => runs.data.includes(round * 10), { what: 'the read before is answered' });
      await waitUntil(async () => String(await world().cli(['CLIENT', 'LIST'], 'x')).includes('cmd=xreadgroup'), { what: 'the next read waits' });
      await producer.sendMany(numbers(5, round * 10 + 1).map((data) => ({ data })));
      await drained(world(), queue, { timeoutMs: 4_000 });
      expect(proxy.cuts).toBe(round + 1);
    }
    expect(runs.data.slice().sort(byNumber)).toEqual([...numbers(6), ...numbers(6, 10)]);
    expect(a.all('session.lost')).toEqual([]);
    expect(await pendingOf(world(), queue)).toEqual({ [a.session()!]: 0, '-': 0 });
  });

  it('of a look that took messages over: they are found as well', async () => {
    const queue = await world().queue();
    const { proxy, engine } = await through();
    await world().client.queue(queue).sendMany(numbers(6).map((data) => ({ data })));
    const dies = await ghost(world(), queue);
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(), { engine });
    await waitUntil(async () => String(await world().cli(['CLIENT', 'LIST'], 'x')).includes('cmd=xreadgroup'), { what: 'it waits' });
    proxy.cutAfter(shaOf('queue-look'));
    await dies();
    await world().cli(['PUBLISH', keysOf(queue).bell, 'look']);
    await waitUntil(() => proxy.cuts === 1, { what: 'the answer is lost' });
    expect((await pendingOf(world(), queue))[a.session()!]).toBe(6);
    await drained(world(), queue, { timeoutMs: 5_000 }); // and not after three heartbeats, 9,000 ms
    expect(runs.data.slice().sort(byNumber)).toEqual(numbers(6));
    expect(a.all('session.lost')).toEqual([]);
  });

  it('of a settle: nothing runs again, nothing is counted or put away twice', async () => {
    const queue = await world().queue();
    const { proxy, engine } = await through();
    const runs = new Runs();
    const resolved: unknown[] = [];
    const a = await consume(world(), queue, runs.handler(async (ctx, n) => {
      if (n === 1) proxy.cutAfter(shaOf('queue-settle'));
      if (ctx.data === 'done') return ctx.ack().then(() => void resolved.push('done'));
      if (ctx.data === 'bad') return ctx.deadLetter('bad').then(() => void resolved.push('bad'));
      if (n === 1) throw new Error('once');
    }), { retry: { initialMs: 10 }, engine });
    for (const [i, data] of ['done', 'bad', 'again'].entries()) {
      await world().client.queue(queue).send(data);
      await drained(world(), queue);
      await waitUntil(() => proxy.cuts === i + 1, { what: 'the answer was lost' });
    }
    await waitUntil(() => resolved.length === 2, { what: 'they are told all the same' });
    expect(runs.contexts.map(({ data, attempt }) => [data, attempt])).toEqual([['done', 1], ['bad', 1], ['again', 1], ['again', 2]]);
    expect((await lettersOf(world(), queue)).map(({ fields }) => [fields['reason'], fields['entry.data']])).toEqual([['bad', '"bad"']]);
    expect(a.all('queue.retried')).toHaveLength(1);
    expect(a.all('session.lost')).toEqual([]);
  });

  it('of a settle that gave a message back, which somebody else runs by the time it is said again: it stays theirs', async () => {
    const queue = await world().queue();
    const { proxy, engine } = await through();
    const runs = new Runs();
    const hold = gate();
    const first = await consume(world(), queue, runs.handler(async (ctx, n) => {
      if (n > 1) return;
      proxy.cutAfter(shaOf('queue-settle'));
      await ctx.nack(0);
    }), { engine });
    await world().client.queue(queue).send('x');
    await waitUntil(() => proxy.cuts === 1 || runs.contexts.length > 1, { what: 'its answer is lost' });
    await consume(world(), queue, runs.handler(() => hold.opened));
    await first.saw('queue.settled');
    hold.open();
    await drained(world(), queue);
    expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  it('of the word that a suspect is about to run: it runs, once', async () => {
    const queue = await world().queue();
    const { proxy, engine } = await through();
    await world().client.queue(queue).send('x');
    await (await ghost(world(), queue, { begun: true }))();
    proxy.cutAfter(shaOf('queue-begin'));
    const runs = new Runs();
    await consume(world(), queue, runs.handler(), { engine });
    await drained(world(), queue);
    expect(proxy.cuts).toBe(1);
    expect(runs.contexts.map(({ attempt, redelivered }) => [attempt, redelivered])).toEqual([[2, true]]);
  });

  it('of heartbeats and of a join: nothing is lost', async () => {
    const queue = await world().queue();
    const { proxy, engine } = await through(1_500);
    proxy.cutAfter(shaOf('join'));
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(), { engine });
    expect(proxy.cuts).toBe(1);
    await world().client.queue(queue).send(1);
    await runs.calls(1);
    proxy.cutAfter(shaOf('heartbeat'), 2);
    await waitUntil(() => proxy.cuts === 3, { what: 'two heartbeats have lost their answer' });
    await a.saw('session.renewed', a.all('session.renewed').length + 2);
    await world().client.queue(queue).send(2);
    await drained(world(), queue);
    expect(runs.data).toEqual([1, 2]);
    expect(a.all('session.lost')).toEqual([]);
  });

  it('of the last words: others have what was left at once', async () => {
    const queue = await world().queue();
    const { proxy, engine } = await through(60_000);
    const a = await consume(world(), queue, () => new Promise(() => undefined), { concurrency: 1, prefetch: 4, engine: { ...engine, shutdown: { drainMs: 50 } } });
    await world().client.queue(queue).sendMany(numbers(4).map((data) => ({ data })));
    await waitUntil(() => a.inner.load().held === 4, { what: 'it holds four' });
    proxy.cutAfter(shaOf('queue-leave'));
    await a.stop();
    expect(proxy.cuts).toBe(1);
    const runs = new Runs();
    await consume(world(), queue, runs.handler());
    await drained(world(), queue, { timeoutMs: 3_000 });
    expect(runs.data.slice().sort(byNumber)).toEqual(numbers(4));
    expect(runs.contexts.every(({ attempt }) => attempt === 1)).toBe(true);
  });
});
