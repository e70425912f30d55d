import { expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { consume, makeConsumer } from './support/consumer.js';
import { ClosedError, FencedError, MessageLostError, type QueueContext } from './support/engine.js';
import { gate, numbers, Runs, untilAborted } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { drained, ghost, pendingOf } from './support/state.js';
import { BOTH, onTopologies } from './support/world.js';

const LONG = { session: { ttlMs: 60_000 }, shutdown: { drainMs: 8_000 } };

onTopologies(BOTH, 'a clean stop', (world) => {
  it('what was not begun goes to others at once; what runs is finished and settled; nothing runs twice; nothing is left', async () => {
    const queue = await world().queue();
    const hold = gate();
    const [mine, theirs] = [new Runs(), new Runs()];
    const a = await consume(world(), queue, mine.handler(() => hold.opened), { concurrency: 3, prefetch: 60, engine: LONG });
    await world().client.queue(queue).sendMany(numbers(60).map((data) => ({ data })));
    await waitUntil(() => a.inner.load().held === 60, { what: 'it holds all' });
    await consume(world(), queue, theirs.handler(), { engine: LONG });
    const stopped = a.stop();
    await theirs.calls(57, 3_000); // its handlers still run, and its session has a minute to live
    expect(mine.contexts.every(({ signal }) => !signal.aborted)).toBe(true);
    hold.open();
    await stopped;
    await drained(world(), queue);
    expect([...mine.data, ...theirs.data].sort((x, y) => Number(x) - Number(y))).toEqual(numbers(60));
    expect(mine.contexts).toHaveLength(3);
    expect(theirs.contexts.every(({ attempt }) => attempt === 1)).toBe(true);
    for (let shard = 0; shard < world().shards; shard++) {
      const { sessions, members } = keysOf(queue, { shards: world().shards, shard });
      expect([await world().cli(['ZCARD', sessions]), await world().cli(['HLEN', members])]).toEqual([1, 1]);
      expect(Object.keys(await pendingOf(world(), queue, { shards: world().shards, shard })).filter((name) => name !== '-')).toHaveLength(1);
    }
    expect(a.all('queue.terminated')).toMatchObject([{ queue, group: 'default', reason: 'closed' }]);
    expect(a.errors).toEqual([]);
  });

  it('consumers come and go under load: every message runs once', async () => {
    const queue = await world().queue();
    const runs = new Runs();
    const options = { prefetch: 32, concurrency: 4, engine: { session: { ttlMs: 30_000 } } };
    const stays = await consume(world(), queue, runs.handler(() => new Promise((resolve) => setTimeout(resolve, 1))), options);
    const producer = world().client.queue(queue);
    let sent = 0;
    let busy = true;
    const load = (async () => {
      while (busy) {
        await producer.sendMany(numbers(40, sent).map((data) => ({ data })));
        sent += 40;
      }
    })();
    for (let round = 0; round < 4; round++) {
      const guest = await consume(world(), queue, runs.handler(() => new Promise((resolve) => setTimeout(resolve, 1))), options);
      const before = runs.contexts.length;
      await waitUntil(() => runs.contexts.length > before + 60, { what: 'messages flow' });
      await guest.stop();
    }
    busy = false;
    await load;
    await drained(world(), queue, { timeoutMs: 15_000 });
    expect(runs.data.slice().sort((x, y) => Number(x) - Number(y))).toEqual(numbers(sent));
    expect(stays.errors).toEqual([]);
  });
});

onTopologies(['standalone'], 'the end of a consumer', (world) => {
  it('a handler that does not end is aborted after drainMs; its message goes to others at once, as it was', async () => {
    const queue = await world().queue();
    const reasons: unknown[] = [];
    const runs = new Runs();
    const a = await consume(world(), queue, (_, ctx) => untilAborted(ctx).catch((error: unknown) => {
      reasons.push(error);
      throw error;
    }), { engine: { session: { ttlMs: 60_000 }, shutdown: { drainMs: 150 } } });
    await world().client.queue(queue).send('long');
    await waitUntil(() => a.inner.load().running === 1, { what: 'it runs' });
    const since = performance.now();
    await a.stop();
    expect(performance.now() - since).toBeLessThan(4_000);
    expect(reasons[0]).toBeInstanceOf(MessageLostError);
    expect(reasons[0]).toMatchObject({ reason: 'shutdown' });
    await consume(world(), queue, runs.handler());
    await drained(world(), queue, { timeoutMs: 3_000 });
    expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([1]);
    expect(a.all('queue.retried')).toEqual([]);
  });

  it('what had been with others before, and was not begun, goes on at once as well', async () => {
    const queue = await world().queue();
    await world().client.queue(queue).sendMany(numbers(5).map((data) => ({ data })));
    await (await ghost(world(), queue))();
    const hold = gate();
    const [mine, theirs] = [new Runs(), new Runs()];
    const a = await consume(world(), queue, mine.handler(() => hold.opened), { concurrency: 1, engine: LONG });
    await mine.calls(1);
    expect(a.inner.load().held).toBe(5);
    await consume(world(), queue, theirs.handler(), { engine: LONG });
    const stopped = a.stop();
    await theirs.calls(4, 3_000);
    hold.open();
    await stopped;
    await drained(world(), queue);
    expect([...mine.data, ...theirs.data].sort()).toEqual(numbers(5));
    expect(theirs.contexts.every(({ attempt, redelivered }) => attempt === 1 && redelivered)).toBe(true);
  });

  it('a suspect that is still at it when its consumer ends keeps no turn from other consumers of the process', async () => {
    const [queue, other] = [await world().queue(), await world().queue()];
    for (const each of [queue, other]) {
      await world().client.queue(each).send('x');
      await (await ghost(world(), each, { begun: true }))();
    }
    const engine = world().engine({ shutdown: { drainMs: 100 } });
    const runs = new Runs();
    engine.addQueueConsumer({ queue }, { message: runs.handler(() => new Promise(() => undefined)) });
    await engine.start();
    await runs.calls(1);
    await engine.queues().shutdown(queue);
    const theirs = new Runs();
    await engine.runQueueConsumer({ queue: other }, { message: theirs.handler() });
    await theirs.calls(1, 3_000);
    await drained(world(), other);
  });

  it('a consumer whose handler never returns holds up neither the stop nor its messages', async () => {
    const queue = await world().queue();
    const contexts: QueueContext[] = [];
    const a = await consume(world(), queue, (_, ctx) => (contexts.push(ctx), new Promise(() => undefined)), { concurrency: 2, prefetch: 10, engine: { session: { ttlMs: 60_000 }, shutdown: { drainMs: 100 } } });
    await world().client.queue(queue).sendMany(numbers(10).map((data) => ({ data })));
    await waitUntil(() => a.inner.load().running === 2, { what: 'two run' });
    await Promise.all([a.stop(), a.stop(), a.engine.stop()]);
    const runs = new Runs();
    await consume(world(), queue, runs.handler());
    await drained(world(), queue, { timeoutMs: 3_000 });
    expect(runs.contexts).toHaveLength(10);
    // Afterwards it has no say.
    expect(await failure(contexts[0]!.ack())).toBeInstanceOf(FencedError);
    expect(await failure(contexts[1]!.nack())).toBeInstanceOf(FencedError);
  });

  it('stop, again and again, while Redis is away or silent: bounded, and what was handled but not settled runs elsewhere', async () => {
    const queue = await world().queue();
    const server = await world().serverOf('');
    for (const how of ['blackhole', 'cut'] as const) {
      const proxy = await startProxy(server.port);
      world().onEnd(() => proxy.stop());
      const hold = gate();
      const acked: Array<Promise<unknown>> = [];
      const engine = { connection: { url: proxy.url }, session: { ttlMs: 900 }, commandTimeoutMs: 300, shutdown: { drainMs: 100 } };
      const a = await consume(world(), queue, async (_, ctx) => {
        await hold.opened;
        const said = ctx.ack();
        acked.push(said.catch((error: Error) => error));
        await said;
      }, { engine });
      const producer = a.client.queue(queue);
      await producer.send(how);
      await waitUntil(() => a.inner.load().running === 1, { what: 'it runs' });
      if (how === 'blackhole') proxy.blackhole(true);
      else await proxy.stop();
      const unsent = producer.send('unsent').catch((error: Error) => error);
      hold.open();
      const since = performance.now();
      await Promise.all([a.stop(), a.stop()]);
      await a.stop();
      const took = performance.now() - since;
      expect(took, how).toBeLessThan(4_000);
      expect(await unsent).toBeInstanceOf(Error);
      expect(await acked[0]).toBeInstanceOf(FencedError);
      const runs = new Runs();
      const b = await consume(world(), queue, runs.handler());
      await drained(world(), queue, { timeoutMs: 4_000 });
      expect(runs.data).toContain(how);
      await b.stop();
    }
  });

  it('close of a producer while Redis is away is bounded and harmless to repeat; sends after it are refused', async () => {
    const queue = await world().queue();
    const server = await world().serverOf('');
    const proxy = await startProxy(server.port);
    world().onEnd(() => proxy.stop());
    const engine = world().engine({ connection: { url: proxy.url }, commandTimeoutMs: 300 });
    const producer = engine.queues().queue(queue);
    await producer.send(0);
    proxy.blackhole(true);
    const sends = numbers(10).map((n) => failure(producer.send(n)));
    const since = performance.now();
    const closed = await Promise.all([producer.close({ timeoutMs: 200 }), producer.close({ timeoutMs: 300 })]);
    expect(performance.now() - since).toBeLessThan(4_000);
    expect(closed.at(-1)).toEqual({ unsent: 10 });
    for (const error of await Promise.all(sends)) expect(error).toBeInstanceOf(ClosedError);
    expect(await failure(producer.send(1))).toBeInstanceOf(ClosedError);
    expect(await failure(producer.sendMany([{ data: 1 }]))).toBeInstanceOf(ClosedError);
    await engine.stop();
    expect(() => engine.queues().queue(queue)).toThrow(ClosedError);
  });

  it('an ack after the stop is refused when the message is somebody else\'s by then, and told when it was stored', async () => {
    const queue = await world().queue();
    const contexts: QueueContext[] = [];
    const a = await consume(world(), queue, (_, ctx) => void contexts.push(ctx), { ack: 'manual', engine: { session: { ttlMs: 60_000 }, shutdown: { drainMs: 50 } } });
    await world().client.queue(queue).sendMany([{ data: 1 }, { data: 2 }]);
    await waitUntil(() => contexts.length === 2, { what: 'both are held' });
    await contexts[0]!.ack();
    await a.stop();
    expect(await failure(contexts[1]!.ack())).toBeInstanceOf(FencedError);
    await contexts[0]!.ack(); // it is stored, and stays so
    const runs = new Runs();
    await consume(world(), queue, runs.handler());
    await drained(world(), queue);
    expect(runs.data).toEqual([2]);
  });

  it('a stop before the start, and during it: nothing begins, nothing is left', async () => {
    const queue = await world().queue();
    const { sessions } = keysOf(queue);
    const never = makeConsumer(world(), queue, () => undefined);
    await never.stop();
    await expect(never.engine.start()).rejects.toBeInstanceOf(ClosedError);
    for (let round = 0; round < 12; round++) {
      const a = makeConsumer(world(), queue, () => undefined, { engine: { session: { ttlMs: 60_000 } } });
      const started = a.engine.start().then(() => 'started', () => 'refused');
      await new Promise((resolve) => setTimeout(resolve, round));
      await a.stop();
      expect(['started', 'refused']).toContain(await started);
      expect(await world().cli(['ZCARD', sessions]), `stopped after ${round} ms`).toBe(0);
    }
  });

  it('shutdown of one group of a process leaves the others', async () => {
    const queue = await world().queue();
    const engine = world().engine();
    const [a, b] = [new Runs(), new Runs()];
    const first = engine.addQueueConsumer({ queue, group: 'a' }, { message: a.handler() });
    engine.addQueueConsumer({ queue, group: 'b' }, { message: b.handler() });
    await engine.start();
    const producer = world().client.queue(queue);
    await producer.send(1);
    await Promise.all([a.calls(1), b.calls(1)]);
    await first.stop();
    await producer.send(2);
    await b.calls(2);
    expect(a.data).toEqual([1]);
    expect((await world().client.stats(queue, 'a')).consumers).toBe(0);
  });
});
