import { expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { shaOf, startCutter } from '../support/cutter.js';
import { BackpressureError, ConnectionError } from './support/engine.js';
import { onTopologies } from './support/world.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const after = <T>(ms: number, value: T): Promise<T> => new Promise((resolve) => setTimeout(resolve, ms, value));

onTopologies(['standalone'], 'how long a queue producer takes', (world) => {
  it.each(['reject', 'wait'] as const)('flush waits for what was sent, not for what is sent meanwhile (whenFull: %s)', async (whenFull) => {
    const producer = world().client.queue(await world().queue(), { whenFull, maxPending: whenFull === 'wait' ? 10 : 1_000 });
    let over = false;
    // Some each turn, whatever became of those before: there is no moment at which nothing is under way.
    const load = (async () => {
      for (; !over; await turn()) for (let i = 0; i < 5; i++) producer.send('more').catch(() => undefined);
    })();
    let settled = false;
    const mine = producer.sendMany(Array.from({ length: 50 }, (_, data) => ({ data }))).then(() => (settled = true));
    try {
      expect(await Promise.race([producer.flush().then(() => 'flushed'), after(5_000, 'waits for ever')])).toBe('flushed');
      await turn();
      expect(settled).toBe(true);
    } finally {
      over = true;
      await Promise.all([load, mine]);
    }
  });

  it('sendTimeoutMs counts from the call, also for who waited for room before', async () => {
    const proxy = await startProxy(world().topology.servers[0]!.port);
    world().onEnd(() => proxy.stop());
    const producer = world().engine({ connection: { url: proxy.url }, commandTimeoutMs: 200 }).queues().queue(await world().queue(), { whenFull: 'wait', maxPending: 10, sendTimeoutMs: 2_000 });
    await producer.send('first');
    proxy.blackhole(true);
    const told = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
      // The last ten wait for room; half of these have it when the first are given up, and are not tried for as long again.
      await after(i < 10 ? 0 : 40 * i, undefined);
      const called = performance.now();
      const error = await producer.send(i).catch((thrown: unknown) => thrown);
      return { error, ms: performance.now() - called };
    }));
    for (const { error, ms } of told) {
      expect(error instanceof ConnectionError || error instanceof BackpressureError).toBe(true);
      expect(ms).toBeGreaterThan(1_200);
      expect(ms).toBeLessThan(3_000);
    }
    expect(told.slice(10).some(({ error }) => error instanceof ConnectionError)).toBe(true);
  });

  it('sendTimeoutMs counts from the call, also while the queue is looked up', async () => {
    const proxy = await startCutter(world().topology.servers[0]!.port);
    world().onEnd(() => proxy.stop());
    proxy.cutAfter(shaOf('queue-produce'), Infinity);
    const queue = world().name();
    const producer = world().engine({ connection: { url: proxy.url } }).queues().queue(queue, { sendTimeoutMs: 3_000 });
    const called = performance.now();
    const error = producer.send(1).catch((thrown: unknown) => thrown);
    await after(2_500, undefined);
    await world().client.register({ name: queue });
    expect(await error).toMatchObject({ code: 'CONNECTION', message: expect.stringContaining('unknown') as string });
    expect(proxy.cuts).toBeGreaterThan(0);
    expect(performance.now() - called).toBeLessThan(5_000);
  });
});
