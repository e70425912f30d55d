import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { consume, type Consumer } from './support/consumer.js';
import { ClosedError, FencedError, type QueueContext } from './support/engine.js';
import { numbers, Runs } from './support/handlers.js';
import { keysOf, storedIn } from './support/keys.js';
import { drained, lettersOf, pendingOf } from './support/state.js';
import { BOTH, onTopologies } from './support/world.js';

const byNumber = (a: unknown, b: unknown): number => Number(a) - Number(b);
const WAYS: ReadonlyArray<readonly [name: string, stop: (consumer: Consumer) => Promise<unknown>]> = [
  ['consumer.stop()', ({ inner }) => inner.stop()],
  ['queues.shutdown()', ({ client, inner }) => client.shutdown(inner.queue)],
  ['engine.drain()', ({ engine }) => engine.drain()],
  ['engine.stop()', ({ engine }) => engine.stop()],
];

onTopologies(BOTH, 'a handler that stops its own consumer', (world) => {
  it.each(WAYS)('%s, not awaited: its message is done, the others go to others at once', async (_, stop) => {
    const queue = await world().queue();
    const mine: unknown[] = [];
    let stopped: Promise<unknown> | undefined;
    const a: Consumer = await consume(world(), queue, (data) => {
      mine.push(data);
      if (data === 3) stopped = stop(a);
    }, { concurrency: 1, engine: { session: { ttlMs: 60_000 }, shutdown: { drainMs: 8_000 } } });
    const since = performance.now();
    await world().client.queue(queue).sendMany(numbers(30).map((data) => ({ data })));
    await waitUntil(() => stopped !== undefined, { what: 'it stops' });
    await stopped;
    const theirs = new Runs();
    await consume(world(), queue, theirs.handler());
    await drained(world(), queue);
    expect(performance.now() - since).toBeLessThan(6_000); // neither its drainMs nor its ttlMs
    expect([...mine, ...theirs.data].sort(byNumber)).toEqual(numbers(30));
    expect(mine.at(-1)).toBe(3);
    expect(a.errors).toEqual([]);
  });
});

onTopologies(['standalone'], 'a handler that waits for the stop of its own consumer', (world) => {
  const engine = { session: { ttlMs: 60_000 }, shutdown: { drainMs: 400 } };

  it.each(WAYS)('%s, after its ack: it ends after drainMs, the message is done', async (_, stop) => {
    const queue = await world().queue();
    let took = 0;
    const ends: unknown[] = [];
    const a: Consumer = await consume(world(), queue, async (__, ctx) => {
      await ctx.ack();
      const since = performance.now();
      ends.push(await stop(a).then(() => 'stopped', (error: Error) => error));
      took = performance.now() - since;
    }, { concurrency: 2, engine });
    await world().client.queue(queue).sendMany([{ data: 1 }, { data: 2 }]);
    await waitUntil(() => ends.length === 2, { what: 'both handlers go on', timeoutMs: 5_000 });
    expect(ends).toEqual(['stopped', 'stopped']);
    expect(took).toBeGreaterThan(390);
    expect(took).toBeLessThan(2_500);
    await drained(world(), queue);
    await a.engine.stop();
    expect(Number(await world().cli(['ZCARD', keysOf(queue).sessions]))).toBe(0);
  });

  it.each(WAYS)('%s, without an ack: it is broken off after drainMs, and the message goes to others as it was', async (_, stop) => {
    const queue = await world().queue();
    const late: Error[] = [];
    const a: Consumer = await consume(world(), queue, async (__, ctx) => {
      await stop(a);
      late.push(ctx.signal.reason as Error, await failure(ctx.ack()));
    }, { engine });
    const since = performance.now();
    await world().client.queue(queue).send('x');
    await waitUntil(() => late.length > 0, { what: 'its handler goes on', timeoutMs: 5_000 });
    expect(performance.now() - since).toBeLessThan(2_500);
    expect(late[0]).toMatchObject({ code: 'MESSAGE_LOST', reason: 'shutdown' });
    expect(late[1]).toBeInstanceOf(FencedError);
    const theirs = new Runs();
    await consume(world(), queue, theirs.handler());
    await drained(world(), queue, { timeoutMs: 3_000 });
    expect(theirs.contexts.map(({ attempt }) => attempt)).toEqual([1]);
  });

  it('producer.close() in a handler: what it sent is stored, its message is done, and the consumer goes on', async () => {
    const [queue, next] = [await world().queue(), await world().queue()];
    const closed: unknown[] = [];
    const runs = new Runs();
    const a: Consumer = await consume(world(), queue, runs.handler(async ({ data }) => {
      const producer = a.client.queue(next);
      const sent = numbers(5).map((n) => producer.send([data, n]));
      closed.push(await producer.close());
      await Promise.all(sent);
      expect(await failure(producer.send('late'))).toBeInstanceOf(ClosedError);
    }), { concurrency: 1, engine });
    await world().client.queue(queue).sendMany([{ data: 'a' }, { data: 'b' }]);
    await drained(world(), queue);
    expect(closed).toEqual([{ unsent: 0 }, { unsent: 0 }]);
    expect(runs.contexts.map(({ data, attempt }) => [data, attempt])).toEqual([['a', 1], ['b', 1]]);
    expect((await storedIn(world(), next)).map(({ fields }) => JSON.parse(fields['data']!) as unknown)).toEqual(['a', 'b'].flatMap((data) => numbers(5).map((n) => [data, n])));
  });

  it('producer.close() of the very queue it handles, with all its messages under way', async () => {
    const queue = await world().queue();
    const seen: unknown[] = [];
    const a: Consumer = await consume(world(), queue, async (data) => {
      seen.push(data);
      if (data !== 'close') return;
      const producer = a.client.queue(queue);
      const sent = producer.sendMany(numbers(700).map((n) => ({ data: n })));
      expect(await producer.close()).toEqual({ unsent: 0 });
      await sent;
    }, { concurrency: 1, engine });
    await world().client.queue(queue).send('close');
    await drained(world(), queue);
    expect(seen).toEqual(['close', ...numbers(700)]);
  });
});

onTopologies(['standalone'], 'handlers that say more than one thing', (world) => {
  it('the same, or the opposite, once more: answered as the first was; nothing is told twice', async () => {
    const queue = await world().queue();
    const said: string[] = [];
    const words = (ctx: QueueContext): Array<() => Promise<void>> => [() => ctx.ack(), () => ctx.nack(1), () => ctx.deadLetter('why')];
    const a = await consume(world(), queue, async (data, ctx) => {
      if (ctx.attempt > 1) return;
      const [first, ...rest] = data as number[];
      await words(ctx)[first!]!();
      for (const word of rest) await words(ctx)[word]!().then(() => said.push('told'), () => said.push('refused'));
    });
    const orders = numbers(3).flatMap((first) => numbers(3).map((then) => [first, then, first]));
    await world().client.queue(queue).sendMany(orders.map((data) => ({ data })));
    await waitUntil(() => said.length === 18, { what: 'all are told' });
    await drained(world(), queue);
    expect(new Set(said)).toEqual(new Set(['told']));
    expect([a.all('queue.retried').length, a.all('queue.deadLettered').length]).toEqual([3, 3]);
    expect((await lettersOf(world(), queue)).map(({ fields }) => JSON.parse(fields['entry.data']!) as number[])).toEqual(orders.filter(([first]) => first === 2));
    expect(a.all('queue.settled').reduce((sum, { done, retried, deadLettered }) => sum + done + retried + deadLettered, 0)).toBe(12); // nine, and three once more
    expect(a.errors).toEqual([]);
  });

  it('what it throws after it has settled goes to the error hook, once, and changes nothing', async () => {
    const queue = await world().queue();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(async (ctx) => {
      if (ctx.data === 'acked') await ctx.ack();
      else if (ctx.attempt === 1) void ctx.nack(1);
      else return;
      throw new Error(`after ${String(ctx.data)}`);
    }), { ack: 'auto' });
    await world().client.queue(queue).sendMany([{ data: 'acked' }, { data: 'nacked' }]);
    await runs.calls(3);
    await drained(world(), queue);
    expect(runs.contexts.map(({ data, attempt }) => `${String(data)} ${attempt}`).sort()).toEqual(['acked 1', 'nacked 1', 'nacked 2']);
    expect(a.errors.map(({ message }) => message).sort()).toEqual(['after acked', 'after nacked']);
    expect(await lettersOf(world(), queue)).toEqual([]);
  });

  it('a promise that never resolves: what was settled stays so through the stop, the others run elsewhere', async () => {
    const queue = await world().queue();
    const contexts: QueueContext[] = [];
    const a = await consume(world(), queue, async (data, ctx) => {
      contexts.push(ctx);
      if (data === 'acked') await ctx.ack();
      if (data === 'parked') await ctx.deadLetter('parked');
      if (data === 'nacked') await ctx.nack(0);
      return new Promise(() => undefined);
    }, { engine: { session: { ttlMs: 60_000 }, shutdown: { drainMs: 100 } }, retry: { maxAttempts: 9 } });
    await world().client.queue(queue).sendMany(['acked', 'parked', 'silent'].map((data) => ({ data })));
    await waitUntil(async () => contexts.length === 3 && (await pendingOf(world(), queue))[a.session()!] === 1, { what: 'two are settled' });
    const since = performance.now();
    await Promise.all([a.inner.stop(), a.engine.stop()]);
    expect(performance.now() - since).toBeLessThan(2_000);
    expect(contexts.map(({ signal }) => signal.aborted)).toEqual([false, false, true]);
    const runs = new Runs();
    await consume(world(), queue, runs.handler());
    await drained(world(), queue, { timeoutMs: 3_000 });
    expect(runs.contexts.map(({ data, attempt }) => [data, attempt])).toEqual([['silent', 1]]);
    expect((await lettersOf(world(), queue)).map(({ fields }) => fields['entry.data'])).toEqual(['"parked"']);
  });
});
