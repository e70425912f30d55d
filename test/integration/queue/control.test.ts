import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { consume } from './support/consumer.js';
import { gate, numbers, Runs } from './support/handlers.js';
import { drained } from './support/state.js';
import { onTopologies } from './support/world.js';

/** Heartbeats, which would find anything, come every five seconds. */
const SELDOM = { session: { ttlMs: 15_000, heartbeatMs: 5_000 } };

onTopologies(['standalone'], 'pause, resume, stats', (world) => {
  it('a paused group takes nothing, also who comes later; others go on; then it goes on at once', async () => {
    const queue = await world().queue();
    const [runs, later, other] = [new Runs(), new Runs(), new Runs()];
    const a = await consume(world(), queue, runs.handler(), { group: 'a', engine: SELDOM });
    await consume(world(), queue, other.handler(), { group: 'b' });
    const producer = world().client.queue(queue);
    await producer.send(0);
    await runs.calls(1);
    const paused = a.saw('queue.paused');
    await a.client.pause(queue, 'a');
    expect(await paused).toMatchObject([{ queue, group: 'a', paused: true }]);
    // No read of its is under way any more: from here on nothing reaches it.
    const reading = async (): Promise<number> => String(await world().cli(['CLIENT', 'LIST'], 'x')).split('\n').filter((line) => line.includes('cmd=xreadgroup') && / flags=\w*b/.test(line)).length;
    await waitUntil(async () => (await reading()) === 1, { what: 'only the other group reads' });
    await producer.sendMany(numbers(10, 1).map((data) => ({ data })));
    const c = await consume(world(), queue, later.handler(), { group: 'a', engine: { session: { ttlMs: 600 } } });
    await other.calls(11);
    await c.saw('session.renewed', 3);
    expect([runs.contexts.length, later.contexts.length]).toEqual([1, 0]);
    expect(await a.client.stats(queue, 'a')).toMatchObject({ paused: true, waiting: 10, consumers: 2 });
    expect(await a.client.stats(queue, 'b')).toMatchObject({ paused: false, waiting: 0, consumers: 1 });
    const since = performance.now();
    await a.client.resume(queue, 'a');
    await drained(world(), queue, { groups: ['a', 'b'] });
    expect(performance.now() - since).toBeLessThan(4_000);
    expect([...runs.data, ...later.data].sort((x, y) => Number(x) - Number(y))).toEqual(numbers(11));
  });

  it('paused, retries and what the dead held wait as well', async () => {
    const queue = await world().queue();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(async (_, n) => {
      if (n > 1) return;
      await a.client.pause(queue);
      throw new Error('again');
    }), { retry: { initialMs: 10 }, engine: { session: { ttlMs: 600 } } });
    await world().client.queue(queue).send(1);
    await a.saw('queue.settled');
    await a.saw('session.renewed', a.all('session.renewed').length + 2);
    expect(runs.contexts).toHaveLength(1);
    expect(await a.client.stats(queue)).toMatchObject({ paused: true, retrying: 1, pending: 1 });
    await a.client.resume(queue);
    await drained(world(), queue);
    expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  it('stats tell what there is, before anybody consumes as well', async () => {
    const queue = await world().queue({ shards: 2 });
    const producer = world().client.queue(queue);
    expect(await world().client.stats(queue)).toMatchObject({ queue, group: 'default', messages: 0, pending: 0, retrying: 0, delayed: 0, deadLetters: 0, consumers: 0, paused: false, oldestMs: undefined, groups: [] });
    await producer.sendMany([...numbers(9).map((data) => ({ data })), { data: 'later', delayMs: 60_000 }]);
    expect(await world().client.stats(queue)).toMatchObject({ messages: 9, delayed: 1, groups: [] });
    const hold = gate();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(async (ctx) => {
      if (ctx.data === 0) return ctx.nack(60_000);
      if (ctx.data === 1) return ctx.deadLetter('no');
      await hold.opened;
    }), { concurrency: 4, prefetch: 4 });
    await waitUntil(async () => {
      const { messages, waiting, pending, retrying, delayed, deadLetters, consumers, oldestMs, groups } = await a.client.stats(queue);
      expect({ messages, waiting, pending, retrying, delayed, deadLetters, consumers, groups }).toEqual({ messages: 8, waiting: 3, pending: 5, retrying: 1, delayed: 1, deadLetters: 1, consumers: 1, groups: ['default'] });
      return oldestMs! >= 0 && oldestMs! < 60_000;
    }, { what: 'the numbers are told' });
    hold.open();
  });
});
