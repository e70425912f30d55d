import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { consume } from './support/consumer.js';
import { BackpressureError, QueueMismatchError } from './support/engine.js';
import { gate, numbers, Runs } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { drained } from './support/state.js';
import { onTopologies } from './support/world.js';

/** Heartbeats, which would find anything, are seldom. */
const SELDOM = { session: { ttlMs: 6_000, heartbeatMs: 2_000 } };

onTopologies(['standalone'], 'a stream without its group', (world) => {
  it('was there before anybody consumed: made by hand, with entries', async () => {
    const queue = await world().queue();
    const { messages } = keysOf(queue);
    for (const n of numbers(3)) await world().cli(['XADD', messages, '*', 'data', n]);
    const runs = new Runs();
    await consume(world(), queue, runs.handler());
    await drained(world(), queue);
    expect(runs.data).toEqual([0, 1, 2]);
  });

  it.each([
    ['XGROUP DESTROY', (key: string) => ['XGROUP', 'DESTROY', key, 'default']],
    ['DEL', (key: string) => ['DEL', key]],
  ] as const)('%s while it is consumed: it goes on with what is sent then; handlers that run end and are settled', async (_, command) => {
    const queue = await world().queue();
    const { messages } = keysOf(queue);
    const runs = new Runs();
    const hold = gate();
    const acked: unknown[] = [];
    const a = await consume(world(), queue, runs.handler(async (ctx, n) => {
      if (ctx.data !== 'held' || n > 1) return;
      await hold.opened;
      acked.push(await ctx.ack().then(() => 'told', (error: Error) => error));
    }), { engine: SELDOM });
    const producer = world().client.queue(queue);
    await producer.send('held');
    await runs.calls(1);
    await world().cli(command(messages), messages);
    const since = performance.now();
    await producer.sendMany(numbers(20).map((data) => ({ data })));
    await waitUntil(() => new Set(runs.data).size === 21, { what: 'what came after is handled' });
    expect(performance.now() - since).toBeLessThan(4_000);
    hold.open();
    await waitUntil(() => acked.length === 1, { what: 'the handler is told' });
    expect(acked).toEqual(['told']);
    await drained(world(), queue);
    // A group that begins anew begins with what is there: what is being handled is not begun again.
    expect(runs.ofData('held')).toHaveLength(1);
    expect(a.all('session.lost')).toEqual([]);
  });
});

onTopologies(['standalone'], 'a server that forgets', (world) => {
  it('FLUSHALL: consumers join again, the queue is registered again, what is sent then is handled; twice', async () => {
    const engine = { session: { ttlMs: 900 } };
    const runs = new Runs();
    const reasons: unknown[] = [];
    const owner = world().engine({ ...engine });
    const queue = world().name();
    owner.registerQueue({ name: queue, shards: 2 });
    await owner.start();
    const a = await consume(world(), queue, runs.handler(({ data, signal }) => {
      if (!String(data).startsWith('held')) return;
      return new Promise((_, reject) => signal.addEventListener('abort', () => (reasons.push(signal.reason), reject(signal.reason as Error))));
    }), { engine });
    const registering = world().engine({ ...engine });
    registering.registerQueue({ name: queue, shards: 2 });
    registering.registerQueue({ name: `${queue}-side` });
    registering.addQueueConsumer({ queue: `${queue}-side` }, { message: () => undefined });
    await registering.start();
    const producer = owner.queues().queue(queue);
    for (let round = 1; round <= 2; round++) {
      await producer.send(`held${round}`);
      await waitUntil(() => runs.data.includes(`held${round}`), { what: 'it runs' });
      await world().cli(['FLUSHALL'], 'x');
      await a.saw('queue.lost', round);
      await waitUntil(() => a.inner.sessions().every((session) => session !== undefined), { what: 'it is back' });
      const ns = numbers(20, round * 100);
      await producer.sendMany(ns.map((data) => ({ data })));
      await waitUntil(() => ns.every((n) => runs.data.includes(n)), { what: 'it handles again' });
    }
    expect(reasons).toHaveLength(2);
    // Who comes now with another number of shards must not be taken for the first.
    await waitUntil(async () => Number(await world().cli(['EXISTS', keysOf(queue).registration])) === 1, { what: 'it is registered again' });
    expect(await failure(world().engine().queues().register({ name: queue, shards: 5 }))).toBeInstanceOf(QueueMismatchError);
  });

  it('SCRIPT FLUSH: nobody notices', async () => {
    const queue = await world().queue();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(), { engine: SELDOM });
    for (const n of numbers(4)) {
      await world().cli(['SCRIPT', 'FLUSH'], 'x');
      await world().client.queue(queue).send(n);
      await drained(world(), queue);
    }
    expect(runs.data).toEqual(numbers(4));
    expect(a.errors).toEqual([]);
  });
}, { own: true });

onTopologies(['standalone'], 'a server of its own', (world) => {
  async function ownServer(...args: string[]): Promise<RedisServer> {
    const dir = await mkdtemp(join(tmpdir(), 'nrs-queue-'));
    const server = await startRedis({ dir, args });
    world().onEnd(async () => {
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    });
    return server;
  }

  it('a restart with its log: nothing is lost, what was settled does not run again, the session is kept', async () => {
    const server = await ownServer('--appendonly', 'yes', '--appendfsync', 'always');
    const engine = { connection: { url: server.url }, session: { ttlMs: 12_000, heartbeatMs: 300 } };
    const client = world().engine(engine).queues();
    const queue = world().name();
    await client.register({ name: queue });
    const runs = new Runs();
    const hold = gate();
    const a = await consume(world(), queue, runs.handler(({ data }) => (data === 'held' ? hold.opened : undefined)), { engine });
    await client.queue(queue).sendMany(numbers(30).map((data) => ({ data })));
    await client.queue(queue).send('held');
    await waitUntil(async () => (await client.stats(queue)).messages === 1 && runs.running === 1, { what: 'all but one are settled' });
    const session = a.session();
    await server.kill();
    const sending = client.queue(queue).sendMany(numbers(10, 100).map((data) => ({ data })));
    hold.open();
    await server.restart();
    await sending;
    await waitUntil(async () => (await client.stats(queue)).messages === 0, { what: 'all are settled', timeoutMs: 10_000 });
    expect(runs.data.slice(0, 31)).toEqual([...numbers(30), 'held']);
    expect(runs.data.slice(31).sort((x, y) => Number(x) - Number(y))).toEqual(numbers(10, 100));
    expect(a.session()).toBe(session);
  });

  it('out of memory: sends are refused with a typed error; heartbeats, acks, retries, dead letters and takeovers go on', async () => {
    const server = await ownServer('--maxmemory-policy', 'noeviction');
    const engine = { connection: { url: server.url }, session: { ttlMs: 1_500, heartbeatMs: 300 } };
    const client = world().engine(engine).queues();
    const queue = world().name();
    await client.register({ name: queue });
    const runs = new Runs();
    const hold = gate();
    const a = await consume(world(), queue, runs.handler(async (ctx, n) => {
      await hold.opened;
      if (ctx.data === 'retry' && n === 1) throw new Error('again');
      if (ctx.data === 'park') await ctx.deadLetter('parked');
    }), { engine, retry: { initialMs: 10 } });
    await client.queue(queue).sendMany(['fine', 'retry', 'park', ...numbers(20)].map((data) => ({ data })));
    await client.queue(queue).send('later', { delayMs: 200 });
    await runs.calls(16);
    await server.cli('CONFIG', 'SET', 'maxmemory', 1);
    const refused = await failure(client.queue(queue).send('no room'));
    expect(refused).toBeInstanceOf(BackpressureError);
    expect(refused).toMatchObject({ code: 'BACKPRESSURE', retriable: true });
    hold.open();
    await waitUntil(async () => {
      const { messages, pending, retrying, delayed, deadLetters } = await client.stats(queue);
      return messages + pending + retrying + delayed === 0 && deadLetters === 1;
    }, { what: 'all is settled' });
    await a.saw('session.renewed', a.all('session.renewed').length + 2);
    expect(a.all('session.lost')).toEqual([]);
    expect(runs.data).toContain('later');
    await a.stop();
    expect(await server.cli('ZCARD', keysOf(queue).sessions)).toBe(0);
    await server.cli('CONFIG', 'SET', 'maxmemory', 0);
    await client.queue(queue).send('room again');
  });
});
