import { expect, it } from 'vitest';
import { startRedis } from '../../support/redis-server.js';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { type Cutter, shaOf, startCutter } from '../support/cutter.js';
import { failure } from '../support/failure.js';
import { BackpressureError, ClosedError, ConnectionError, type QueueProducer, type SentQueueMessage } from './support/engine.js';
import { storedIn } from './support/keys.js';
import { onTopologies } from './support/world.js';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Sends that somebody keeps an eye on. */
function watch(producer: QueueProducer, count: number, data: (n: number) => unknown = (n) => n): { settled: Array<SentQueueMessage | Error | undefined>; all: Promise<unknown> } {
  const settled: Array<SentQueueMessage | Error | undefined> = numbers(count).map(() => undefined);
  return { settled, all: Promise.all(settled.map((_, i) => producer.send(data(i)).then((sent) => { settled[i] = sent; }, (error: Error) => { settled[i] = error; }))) };
}

onTopologies(['standalone'], 'queue producer and lost answers', (world) => {
  async function cutter(): Promise<Cutter> {
    const proxy = await startCutter(world().topology.servers[0]!.port);
    world().onEnd(() => proxy.stop());
    return proxy;
  }

  it.each([1, 3])('%i times in a row: sent again, stored once', async (times) => {
    const queue = await world().queue();
    const proxy = await cutter();
    const producer = world().engine({ connection: { url: proxy.url } }).queues().queue(queue);
    await producer.send('first');
    proxy.cutAfter(shaOf('queue-produce'), times);
    const sent = await producer.sendMany(numbers(2_000).map((data) => ({ data })));
    expect(proxy.cuts).toBe(times);
    const stored = await storedIn(world(), queue);
    expect(stored.map(({ fields }) => fields['data'])).toEqual(['"first"', ...numbers(2_000).map(String)]);
    expect(stored.slice(1).map(({ id }) => id)).toEqual(sent.map(({ id }) => id));
  });

  it('of a batch with ids and delays: the same answers, no duplicates of itself', async () => {
    const queue = await world().queue();
    const proxy = await cutter();
    const producer = world().engine({ connection: { url: proxy.url } }).queues().queue(queue);
    await producer.send('first');
    proxy.cutAfter(shaOf('queue-produce'), 2);
    const sent = await producer.sendMany(numbers(300).map((n) => ({ data: n, id: `i${n % 200}`, ...(n % 3 === 0 && { delayMs: 60_000 }) })));
    expect(proxy.cuts).toBe(2);
    expect(sent.map(({ duplicate }) => duplicate)).toEqual(numbers(300).map((n) => n >= 200));
    expect(await storedIn(world(), queue)).toHaveLength(1 + 200 - 67);
  });

  it('of a send that is then refused for good: told as unknown, with the cause', async () => {
    const server = await startRedis();
    world().onEnd(() => server.stop());
    const proxy = await startCutter(server.port);
    world().onEnd(() => proxy.stop());
    const client = world().engine({ connection: { url: proxy.url } }).queues();
    await client.register({ name: 'x' });
    const producer = client.queue('x');
    await producer.send('first');
    proxy.cutAfter(shaOf('queue-produce'), Infinity);
    const error = failure(producer.send('stored'));
    await waitUntil(() => proxy.cuts > 0, { what: 'its answer is lost' });
    await server.cli('ACL', 'SETUSER', 'default', '-evalsha', '-eval');
    proxy.cutAfter('', 0);
    expect(await error).toMatchObject({ code: 'CONNECTION', cause: { message: expect.stringContaining('NOPERM') as string }, message: expect.stringMatching(/NOPERM.*whether these messages were stored is unknown/) as string });
    expect(await failure(producer.send('surely not'))).toMatchObject({ message: expect.stringMatching(/^NOPERM/) as string });
    await server.cli('ACL', 'SETUSER', 'default', '+@all');
    await producer.send('last');
    expect(JSON.stringify(await server.cli('XRANGE', '{queue:x/0}:messages', '-', '+'))).toMatch(/first.*stored.*last/);
  });

  it('of a registration: it is ours', async () => {
    const name = world().name();
    const proxy = await cutter();
    proxy.cutAfter(shaOf('register'));
    await world().engine({ connection: { url: proxy.url } }).queues().register({ name, shards: 3 });
    expect(proxy.cuts).toBe(1);
  });

  it('under load, cut after cut: what resolved is stored once, in order', async () => {
    const queue = await world().queue();
    const proxy = await startProxy(world().topology.servers[0]!.port, { seed: 7 });
    world().onEnd(() => proxy.stop());
    const producer = world().engine({ connection: { url: proxy.url } }).queues().queue(queue);
    await producer.send(-1);
    proxy.setFaults({ cutAfterWriteChance: 0.3 });
    const calls: Array<ReturnType<typeof producer.send>> = [];
    // How often there is a write that can be cut is the producer's affair: on until enough were.
    while (calls.length < 6_000 || proxy.stats.cuts.afterWrite <= 2) {
      for (let i = 0; i < 20; i++) calls.push(producer.send(calls.length));
      if (calls.length % 600 === 0) await Promise.all(calls);
      else await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const sent = await Promise.all(calls);
    proxy.setFaults({});
    const stored = await storedIn(world(), queue);
    expect(stored.map(({ fields }) => Number(fields['data']))).toEqual(numbers(sent.length + 1).map((n) => n - 1));
    expect(stored.slice(1).map(({ id }) => id)).toEqual(sent.map(({ id }) => id));
  });
});

onTopologies(['standalone'], 'queue producer against a server that does not answer', (world) => {
  const away = async (options: object = {}, known = true) => {
    const queue = await world().queue();
    const proxy = await startProxy(world().topology.servers[0]!.port);
    world().onEnd(() => proxy.stop());
    const producer = world().engine({ connection: { url: proxy.url }, commandTimeoutMs: 500 }).queues().queue(queue, options);
    if (known) await producer.send('first');
    proxy.blackhole(true);
    return { queue, proxy, producer };
  };

  it.each([true, false])('is bounded in messages and bytes: what does not fit is refused at once, what was accepted is sent (queue known: %s)', async (known) => {
    const { queue, proxy, producer } = await away({ maxPending: 1_000, maxPendingBytes: 100_000 }, known);
    const small = watch(producer, 1_200);
    await waitUntil(() => small.settled.filter(Boolean).length === 200, { what: 'what does not fit is refused' });
    expect(small.settled.slice(1_000).every((error) => error instanceof BackpressureError)).toBe(true);
    proxy.blackhole(false);
    await small.all;
    proxy.blackhole(true);
    const large = watch(producer, 12, () => 'x'.repeat(9_982));
    await waitUntil(() => large.settled.filter(Boolean).length === 2, { what: 'so it is with bytes' });
    expect(large.settled.slice(10)[0]).toMatchObject({ code: 'BACKPRESSURE', retriable: true });
    proxy.blackhole(false);
    await large.all;
    proxy.blackhole(true);
    const wide = watch(producer, 12, () => '\u6f22'.repeat(3_320)); // three bytes each, and some more
    await waitUntil(() => wide.settled.filter(Boolean).length === 2, { what: 'as they are written' });
    expect(wide.settled.slice(10)[0]).toMatchObject({ code: 'BACKPRESSURE' });
    proxy.blackhole(false);
    await wide.all;
    expect(await storedIn(world(), queue)).toHaveLength((known ? 1 : 0) + 1_020);
    await producer.send('goes on');
  });

  it.each([true, false])('gives up after sendTimeoutMs, and goes on when the server is back (queue known: %s)', async (known) => {
    const { proxy, producer } = await away({ sendTimeoutMs: 800 }, known);
    const started = performance.now();
    const { settled, all } = watch(producer, 2_000);
    await all;
    expect(performance.now() - started).toBeLessThan(4_000);
    expect(settled.every((error) => error instanceof ConnectionError && /unknown|not tried|nothing was sent/.test(error.message))).toBe(true);
    proxy.blackhole(false);
    await waitUntil(() => producer.send('again').then(() => true), { what: 'it goes on' });
  });

  it.each([true, false])('close rejects everything at the deadline, and says how much; again it is harmless (queue known: %s)', async (known) => {
    const { queue, producer } = await away({}, known);
    const { settled, all } = watch(producer, 5_000);
    await new Promise((resolve) => setImmediate(resolve));
    const started = performance.now();
    const first = producer.close({ timeoutMs: 3_600_000 });
    expect(await producer.close({ timeoutMs: 300 })).toEqual({ unsent: 5_000 });
    expect(performance.now() - started).toBeLessThan(2_000);
    await all;
    expect(settled.every((error) => error instanceof ClosedError)).toBe(true);
    const messages = new Set(settled.map((error) => (error as Error).message.replace(/.*: /, '')));
    expect([...messages].filter((text) => /whether it was stored is unknown/.test(text))).toHaveLength(known ? 1 : 0);
    expect([...messages].filter((text) => /before this message could be sent/.test(text))).toHaveLength(1);
    expect(await first).toEqual({ unsent: 5_000 });
    expect(await producer.close({ timeoutMs: 0 })).toEqual({ unsent: 5_000 });
    expect(await failure(producer.send(1))).toBeInstanceOf(ClosedError);
    for (const { fields } of await storedIn(world(), queue)) if (fields['data'] !== '"first"') expect((settled[Number(fields['data'])] as Error).message).toMatch(/unknown/);
  });

  it('a stop of the engine is bounded, and rejects what is left', async () => {
    const queue = await world().queue();
    const proxy = await startProxy(world().topology.servers[0]!.port);
    world().onEnd(() => proxy.stop());
    const engine = world().engine({ connection: { url: proxy.url }, commandTimeoutMs: 500, shutdown: { drainMs: 300 } });
    const producer = engine.queues().queue(queue);
    await producer.send('first');
    proxy.blackhole(true);
    const { settled, all } = watch(producer, 3_000);
    const started = performance.now();
    await engine.stop();
    await all;
    expect(performance.now() - started).toBeLessThan(3_000);
    expect(settled.every((error) => error instanceof ClosedError)).toBe(true);
  });

  it('closed in the middle: what resolved is stored, what was not sent is not', async () => {
    const queue = await world().queue();
    const proxy = await startProxy(world().topology.servers[0]!.port);
    world().onEnd(() => proxy.stop());
    proxy.setFaults({ latencyMs: 20 });
    const producer = world().engine({ connection: { url: proxy.url } }).queues().queue(queue);
    const { settled, all } = watch(producer, 20_000);
    await waitUntil(() => settled.filter(Boolean).length > 4_000, { what: 'some are stored', intervalMs: 1 });
    const { unsent } = await producer.close({ timeoutMs: 30 });
    await all;
    proxy.setFaults({});
    const stored = new Set((await storedIn(world(), queue)).map(({ fields }) => Number(fields['data'])));
    expect(unsent).toBeGreaterThan(0);
    expect(settled.filter((outcome) => outcome instanceof ClosedError)).toHaveLength(unsent);
    for (const [n, outcome] of settled.entries()) {
      if (!(outcome instanceof Error)) expect(stored.has(n!)).toBe(true);
      else if (/could be sent/.test(outcome.message)) expect(stored.has(n!)).toBe(false);
    }
  });
});

onTopologies(['standalone'], 'queue producer and a server that goes', (world) => {
  it('killed and restarted: what was sent meanwhile is stored when it is back', async () => {
    const queue = await world().queue();
    const producer = world().client.queue(queue);
    await producer.send('first');
    const [server] = world().topology.servers;
    await server!.cli('SAVE');
    await server!.kill();
    const { settled, all } = watch(producer, 1_000);
    await server!.restart();
    await all;
    expect(settled.filter((outcome) => outcome instanceof Error)).toEqual([]);
    expect((await storedIn(world(), queue)).map(({ fields }) => fields['data'])).toEqual(['"first"', ...numbers(1_000).map(String)]);
  });

  it('down for good: close is bounded, twice', async () => {
    const server = await startRedis();
    world().onEnd(() => server.stop());
    const engine = world().engine({ connection: { url: server.url } });
    await engine.queues().register({ name: 'gone' });
    const producer = engine.queues().queue('gone');
    await producer.send(1);
    await server.stop();
    const { settled, all } = watch(producer, 100);
    const started = performance.now();
    expect(await producer.close({ timeoutMs: 200 })).toEqual({ unsent: 100 });
    expect(await producer.close({ timeoutMs: 200 })).toEqual({ unsent: 100 });
    await all;
    expect(performance.now() - started).toBeLessThan(4_000);
    expect(settled.every((outcome) => outcome instanceof ClosedError)).toBe(true);
  });

  it('out of memory: told as back-pressure, nothing is stored; goes on when there is room', async () => {
    const queue = await world().queue();
    const [server] = world().topology.servers;
    const producer = world().client.queue(queue);
    await producer.send('first');
    await server!.cli('CONFIG', 'SET', 'maxmemory', '100kb');
    try {
      for (const send of [() => producer.send('refused'), () => producer.sendMany([{ data: 1, id: 'a' }, { data: 2, delayMs: 5 }])]) {
        const error = await failure(send());
        expect(error).toBeInstanceOf(BackpressureError);
        expect(error.message).toMatch(/OOM/);
      }
    } finally {
      await server!.cli('CONFIG', 'SET', 'maxmemory', '0');
    }
    expect((await producer.send('goes on', { id: 'a' })).duplicate).toBe(false);
    expect((await storedIn(world(), queue)).map(({ fields }) => fields['data'])).toEqual(['"first"', '"goes on"']);
  });
}, { own: true });
