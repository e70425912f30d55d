import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { type Child, Log, spawnChild } from './fixtures/child.js';
import type { Work } from './fixtures/consumer.js';
import { consume } from './support/consumer.js';
import { gate, numbers, Runs } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { drained, ghost, lettersOf } from './support/state.js';
import { onTopologies, type World } from './support/world.js';

/** Runs a consumer in a process, and in another one whenever it has died, as an orchestrator would, until `done`. @returns its deaths */
async function restarted(world: World, log: Log, job: Parameters<typeof spawnChild>[2], done: () => Promise<unknown>, mostDeaths: number): Promise<number> {
  const all: Child[] = [];
  let over = false;
  const end = done().finally(() => { over = true; });
  do {
    // The next one has the same name, and need not wait for the deadline.
    all.push(spawnChild(world, log, { ...job, options: { consumerName: 'worker', ...job.options } }));
    await Promise.race([all.at(-1)!.exited, end]);
  } while (!over && all.length <= mostDeaths);
  expect(all.length - 1, 'deaths').toBeLessThanOrEqual(mostDeaths);
  await end;
  return all.length - 1;
}

onTopologies(['standalone'], 'a message that ends its process', (world) => {
  it('is put away after maxCrashes deaths that are its own; its neighbours are handled', async () => {
    const queue = await world().queue();
    const log = new Log(world());
    const work: Work[] = numbers(24).map((n) => ({ n, ms: 3, ...(n === 13 ? { how: n % 2 ? 'exit' as const : 'kill' as const, ms: 10 } : {}) }));
    await world().client.queue(queue).sendMany(work.map((data) => ({ data })));
    const deaths = await restarted(world(), log, { queue, tuning: { maxCrashes: 2, concurrency: 4, retry: { maxAttempts: 1 } } }, () => drained(world(), queue, { timeoutMs: 20_000 }), 4);
    // The first death is nobody's: what ran then is not known.
    expect(deaths).toBe(3);
    expect(log.began(13)).toHaveLength(3);
    const letters = (await lettersOf(world(), queue)).map(({ fields }) => fields);
    expect(letters).toMatchObject([{ reason: 'crashed', 'entry.data': JSON.stringify(work[13]), attempts: '3' }]);
    expect(letters[0]!['error']).toContain('2 times');
    expect(new Set(log.lines('end').map(({ n }) => n)).size).toBe(23);
  });
});

onTopologies(['standalone'], 'suspects', (world) => {
  it('that were begun when their process died run one at a time in all of the process; others run beside them', async () => {
    const [queue, other] = [await world().queue(), await world().queue()];
    for (const each of [queue, other]) {
      await world().client.queue(each).sendMany(numbers(4).map((data) => ({ data })));
      await (await ghost(world(), each, { begun: true }))();
    }
    const runs = new Runs();
    let [suspects, most] = [0, 0];
    const beside = gate();
    const engine = world().engine();
    for (const each of [queue, other]) {
      const handler = runs.handler(async ({ attempt, data }) => {
        if (data === 'new') return beside.open();
        expect(attempt).toBe(2);
        most = Math.max(most, ++suspects);
        if (suspects === 1) await beside.opened; // somebody who is not suspected comes through
        await new Promise((resolve) => setTimeout(resolve, 5));
        suspects--;
      });
      engine.addQueueConsumer({ queue: each, concurrency: 8 }, { message: handler });
    }
    await engine.start();
    await waitUntil(() => suspects === 1, { what: 'the first suspect runs' });
    await world().client.queue(queue).send('new');
    await Promise.all([queue, other].map((each) => drained(world(), each)));
    expect(most).toBe(1);
    expect(runs.contexts).toHaveLength(9);
  });

  it('give their turn on, whatever becomes of them: unreadable, for another group, failed, parked, timed out', async () => {
    const queue = await world().queue();
    const { messages } = keysOf(queue);
    await world().cli(['XADD', messages, '*', 'data', '{']);
    await world().cli(['XADD', messages, '*', 'data', '1', 'to', 'another']);
    for (const data of ['throws', 'parks', 'hangs', 'fine']) await world().client.queue(queue).send(data);
    await (await ghost(world(), queue, { begun: true }))();
    const runs = new Runs();
    await consume(world(), queue, runs.handler(async (ctx, n) => {
      if (ctx.data === 'throws' && n === 1) throw new Error('no');
      if (ctx.data === 'parks') await ctx.deadLetter('parked');
      if (ctx.data === 'hangs' && n === 1) await new Promise(() => undefined);
    }), { maxProcessingMs: 100, retry: { initialMs: 5 } });
    await drained(world(), queue);
    expect(runs.data.slice().sort()).toEqual(['fine', 'hangs', 'hangs', 'parks', 'throws', 'throws']);
    expect((await lettersOf(world(), queue)).map(({ fields }) => fields['reason']).sort()).toEqual(['invalid-json', 'parked']);
    // Nobody holds the turn: the next one runs.
    await world().client.queue(queue).send('next');
    await drained(world(), queue);
  });

  it('one at a time: each that needs no handler makes place for the next', async () => {
    const queue = await world().queue();
    const { messages } = keysOf(queue);
    await world().cli(['XADD', messages, '*', 'data', '1', 'to', 'another']);
    await world().cli(['XADD', messages, '*', 'data', '{']);
    await world().client.queue(queue).send('fine');
    await (await ghost(world(), queue, { begun: true }))();
    const runs = new Runs();
    await consume(world(), queue, runs.handler(), { concurrency: 1 });
    await drained(world(), queue, { timeoutMs: 5_000 });
    expect(runs.data).toEqual(['fine']);
  });

  it('that wait for their turn take no place: the one whose turn it is may wait for what runs in it; nor do they make one', async () => {
    const [outer, inner] = [await world().queue(), await world().queue()];
    const client = world().client;
    await client.queue(outer).send('asks');
    const outerDies = await ghost(world(), outer, { begun: true });
    await client.queue(inner).send('old');
    const innerDies = await ghost(world(), inner, { begun: true });
    const engine = world().engine();
    const order: string[] = [];
    const answered = gate();
    let [running, most] = [0, 0];
    const takenOver = new Set<string>();
    engine.events.on('queue.takenOver', ({ queue }) => takenOver.add(queue));
    engine.addQueueConsumer({ queue: inner, concurrency: 1 }, {
      message: async (data) => {
        most = Math.max(most, ++running);
        order.push(String(data));
        // Its turn has come by the time this ends, if it was not before.
        if (data === 'next') await waitUntil(() => order.includes('asked'), { what: 'the turn is given on' });
        running--;
        if (data === 'new') answered.open();
      },
    });
    engine.addQueueConsumer({ queue: outer }, {
      message: async () => {
        await innerDies();
        await waitUntil(() => takenOver.has(inner), { what: 'the other one waits for its turn' });
        await client.queue(inner).sendMany([{ data: 'new' }, { data: 'next' }]);
        await answered.opened;
        await waitUntil(() => order.includes('next'), { what: 'another one runs by now' });
        order.push('asked');
      },
    });
    await engine.start();
    await outerDies();
    await Promise.all([outer, inner].map((each) => drained(world(), each)));
    expect(order).toEqual(['new', 'next', 'asked', 'old']);
    expect(most).toBe(1);
  });

  it('with maxCrashes 0 none is ever put away for that', async () => {
    const queue = await world().queue();
    await world().client.queue(queue).send('x');
    const dies = await ghost(world(), queue);
    const { id } = ((await world().cli(['XRANGE', keysOf(queue).messages, '-', '+'])) as [string][]).map(([each]) => ({ id: each }))[0]!;
    await world().cli(['HSET', keysOf(queue).attempts, id, '0 50 1']);
    await dies();
    const runs = new Runs();
    await consume(world(), queue, runs.handler(), { maxCrashes: 0 });
    await drained(world(), queue);
    expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([52]);
  });
});
