import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { type Consumer, consume } from './support/consumer.js';
import { gate, numbers, Runs } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { drained, ghost, lettersOf } from './support/state.js';
import { onTopologies } from './support/world.js';

const QUICK = { session: { ttlMs: 1_200, heartbeatMs: 300 } };
const LONG = { maxAttempts: 5, initialMs: 60_000, maxMs: 60_000, jitter: 0 };
const SOON = { maxAttempts: 5, initialMs: 20, maxMs: 20, jitter: 0 };

onTopologies(['standalone'], 'records of attempts, when a hand takes messages from who has them', (world) => {
  const records = (queue: string): Promise<number> => world().cli(['HLEN', keysOf(queue).attempts]) as Promise<number>;
  const gone = (queue: string): Promise<unknown> => waitUntil(async () => (await records(queue)) === 0, { what: 'no record is left', timeoutMs: 10_000 });

  /** Messages that have failed once and wait long for their retry, each with its record. */
  async function waiting(queue: string, count: number, runs = new Runs()): Promise<{ consumer: Consumer; runs: Runs }> {
    const consumer = await consume(world(), queue, runs.handler(({ data }, n) => {
      if (Number(data) < 100 && n === 1) throw new Error('once');
    }), { retry: LONG, engine: QUICK });
    await world().client.queue(queue).sendMany(numbers(count).map((data) => ({ data })));
    await waitUntil(async () => (await records(queue)) === count, { what: 'all have failed once' });
    return { consumer, runs };
  }

  it.each(['fails', 'gives up'] as const)('XGROUP SETID: one that another process settles before its own %s leaves no record, whatever is held meanwhile', async (end) => {
    const queue = await world().queue();
    const [fails, held] = [gate(), gate()];
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(async (ctx, n) => {
      if (ctx.data === 'held') await held.opened;
      if (ctx.data !== 'fails') return;
      if (n === 2) await fails.opened;
      if (n === 2 && end === 'gives up') return ctx.deadLetter('enough');
      throw new Error(`${n}`);
    }), { retry: SOON, concurrency: 1, prefetch: 1, engine: QUICK });
    await world().client.queue(queue).send('fails');
    await runs.calls(2);
    const others = new Runs();
    await consume(world(), queue, others.handler(({ data }) => (data === 'held' ? held.opened : undefined)), { engine: QUICK });
    await world().client.queue(queue).send('held');
    // Its own process, too, may be the one that is given it; it does not begin it again.
    await waitUntil(async () => {
      if (others.ofData('fails').length > 0) return true;
      await world().cli(['XGROUP', 'SETID', keysOf(queue).messages, 'default', '0']);
      await world().client.queue(queue).send('wakes');
      return false;
    }, { what: 'the other has it', intervalMs: 50 });
    fails.open();
    await (end === 'fails' ? a.saw('queue.retried', 2) : a.saw('queue.deadLettered'));
    await gone(queue);
    expect(Number(((await world().cli(['XPENDING', keysOf(queue).messages, 'default'])) as [number])[0])).toBeGreaterThan(0);
    held.open();
    await drained(world(), queue);
    expect(await lettersOf(world(), queue)).toEqual([]);
  });

  it.each([
    ['XGROUP DESTROY', (messages: string) => ['XGROUP', 'DESTROY', messages, 'default']],
    ['DEL', (messages: string) => ['DEL', messages]],
    ['XGROUP DELCONSUMER', (messages: string) => ['XGROUP', 'DELCONSUMER', messages, 'default', '-']],
  ] as const)('%s: none is left, also of messages that are gone', async (_, command) => {
    const queue = await world().queue();
    const { consumer, runs } = await waiting(queue, 20);
    await world().cli(command(keysOf(queue).messages));
    await world().client.queue(queue).send(100);
    await waitUntil(() => runs.ofData(100).length === 1, { what: 'it goes on' });
    await gone(queue);
    expect(await world().cli(['ZCARD', keysOf(queue).retries])).toBe(0);
    await consumer.stop();
    expect(await records(queue)).toBe(0);
  });

  it('who leaves last leaves none, though it has had no time to look', async () => {
    const queue = await world().queue();
    const { messages, attempts } = keysOf(queue);
    const runs = new Runs();
    const consumer = await consume(world(), queue, runs.handler());
    await world().client.queue(queue).send(1);
    await runs.calls(1);
    await waitUntil(async () => Number(((await world().cli(['XPENDING', messages, 'default'])) as [number])[0]) === 0, { what: 'it is settled' });
    await world().cli(['HSET', attempts, '1-1', '1 0 0']);
    await consumer.stop();
    expect(await records(queue)).toBe(0);
  });

  it('what a dead consumer has begun is counted all the same', async () => {
    const queue = await world().queue();
    await world().client.queue(queue).sendMany(numbers(3).map((data) => ({ data })));
    const die = await ghost(world(), queue, { begun: true });
    const runs = new Runs();
    await consume(world(), queue, runs.handler(), { engine: QUICK });
    await world().client.queue(queue).send(9);
    await runs.calls(1);
    await die();
    await runs.calls(4);
    expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([1, 2, 2, 2]);
    await drained(world(), queue);
  });
});
