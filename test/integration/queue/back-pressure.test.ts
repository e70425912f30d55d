import { expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { BackpressureError, ClosedError, type QueueProducer } from './support/engine.js';
import { numbers, Runs } from './support/handlers.js';
import { storedIn } from './support/keys.js';
import { onTopologies } from './support/world.js';

onTopologies(['standalone'], 'a producer that is full', (world) => {
  /** The server says nothing. Its queue is known when `known`. */
  const away = async (options: object, known = true) => {
    const queue = await world().queue();
    const proxy = await startProxy(world().topology.servers[0]!.port);
    world().onEnd(() => proxy.stop());
    const producer = world().engine({ connection: { url: proxy.url } }).queues().queue(queue, { whenFull: 'wait', maxPending: 100, ...options });
    if (known) await producer.send(-1);
    proxy.blackhole(true);
    return { queue, proxy, producer };
  };
  const send = (producer: QueueProducer, count: number): Array<Promise<unknown>> => numbers(count).map((n) => producer.send(n).catch((error: unknown) => error));

  it.each([true, false])('lets sends wait for room, and stores them in the order of the calls; beyond as many again it refuses (queue known: %s)', async (known) => {
    const { queue, proxy, producer } = await away({}, known);
    const sent = send(producer, 250);
    const refused = await Promise.all(sent.slice(200));
    expect(refused.every((error) => error instanceof BackpressureError)).toBe(true);
    proxy.blackhole(false);
    const stored = await Promise.all(sent.slice(0, 200));
    expect(stored.filter((each) => each instanceof Error)).toEqual([]);
    const first = known ? ['-1'] : [];
    await waitUntil(async () => (await storedIn(world(), queue)).length === 200 + first.length, { what: 'all are stored' });
    expect((await storedIn(world(), queue)).map(({ fields }) => fields['data'])).toEqual([...first, ...numbers(200).map(String)]);
  });

  it('bytes count as well; what is larger than all that fits goes alone', async () => {
    const { queue, producer } = await (async () => {
      const made = await away({ maxPendingBytes: 10_000 });
      made.proxy.blackhole(false);
      return made;
    })();
    await Promise.all([...numbers(50).map(() => producer.send('x'.repeat(4_000))), producer.send('y'.repeat(40_000)), producer.send('z')]);
    expect((await storedIn(world(), queue)).map(({ fields }) => fields['data']![1])).toEqual([...'1', ...numbers(50).map(() => 'x'), 'y', 'z']);
  });

  it('sendMany hands over as many as it has, behind those who came before', async () => {
    const { queue, proxy, producer } = await away({});
    const before = send(producer, 150);
    const many = producer.sendMany(numbers(5_000).map((n) => ({ data: 1_000 + n })));
    proxy.blackhole(false);
    const sent = await many;
    await Promise.all(before);
    const stored = await storedIn(world(), queue);
    expect(stored.map(({ fields }) => Number(fields['data']))).toEqual([-1, ...numbers(150), ...numbers(5_000).map((n) => 1_000 + n)]);
    expect(sent.map(({ id }) => id)).toEqual(stored.slice(-5_000).map(({ id }) => id));
  });

  it('who waits for sendTimeoutMs in vain is told that there was no room; close tells the others, and counts them', async () => {
    const { proxy, producer } = await away({ sendTimeoutMs: 1_500, maxPending: 10 });
    const sent = send(producer, 20);
    const errors = (await Promise.all(sent)) as Error[];
    expect(errors.slice(10).filter((error) => error instanceof BackpressureError && error.message.includes('no room for 1500 ms'))).toHaveLength(10);
    expect(errors.slice(0, 10).filter((error) => error instanceof BackpressureError)).toEqual([]);
    proxy.blackhole(false);
    await waitUntil(() => producer.send('again').then(() => true, () => false), { what: 'it goes on' });
    proxy.blackhole(true);
    const last = send(producer, 20);
    expect(await producer.close({ timeoutMs: 200 })).toEqual({ unsent: 20 });
    expect((await Promise.all(last)).every((error) => error instanceof ClosedError)).toBe(true);
    expect(await failure(producer.send(1))).toBeInstanceOf(ClosedError);
  });

  it('close sends those who wait', async () => {
    const { queue, proxy, producer } = await away({});
    const sent = send(producer, 200);
    const closing = producer.close();
    proxy.blackhole(false);
    expect(await closing).toEqual({ unsent: 0 });
    expect((await Promise.all(sent)).filter((each) => each instanceof Error)).toEqual([]);
    expect(await storedIn(world(), queue)).toHaveLength(201);
  });
});

onTopologies(['standalone'], 'batches and reads', (world) => {
  const counted = async (command: string): Promise<number> => Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(String(await world().cli(['INFO', 'commandstats'])))?.[1] ?? 0);

  it('maxBatch bounds a batch, lingerMs lets it wait for more', async () => {
    const queue = await world().queue();
    const engine = world().engine();
    const small = engine.queues().queue(queue, { maxBatch: 10 });
    await small.send(0);
    const before = await counted('evalsha');
    await small.sendMany(numbers(1_000).map((data) => ({ data })));
    expect((await counted('evalsha')) - before).toBeGreaterThanOrEqual(100);

    const patient = engine.queues().queue(queue, { lingerMs: 600, sendTimeoutMs: 10_000 });
    await patient.send(0);
    const then = await counted('evalsha');
    const started = performance.now();
    const sent: Array<Promise<unknown>> = [];
    for (let i = 0; i < 20; i++) {
      sent.push(patient.send(i));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(sent);
    expect(performance.now() - started).toBeGreaterThan(590);
    // Sessions beat besides: nobody has one here.
    expect((await counted('evalsha')) - then).toBeLessThanOrEqual(3);
  });

  it('blockMs is how often an idle consumer asks, and no delay', async () => {
    const queue = await world().queue();
    const engine = world().engine();
    const runs = new Runs();
    engine.addQueueConsumer({ queue, blockMs: 50 }, { message: runs.handler() });
    await engine.start();
    const before = await counted('xreadgroup');
    await waitUntil(async () => (await counted('xreadgroup')) - before >= 10, { what: 'ten reads, which would take 20 s otherwise', timeoutMs: 10_000 });
    await engine.queues().queue(queue).send('a');
    await runs.calls(1, 1_000);
  });
});
