import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { FencedError, HandlerTimeoutError, PartitionLostError } from './support/engine.js';
import { gate, messages, Runs, untilAborted } from './support/handlers.js';
import { caughtUp, groupRow } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

const retry = { maxAttempts: 3, initialMs: 20, maxMs: 20, jitter: 0 };
const never = (): Promise<never> => new Promise(() => undefined);

onTopologies(BOTH, 'maxProcessingMs', (world) => {
  it('aborts the signal in time and delivers again with the attempt counted, whether or not the handler listens', async () => {
    for (const listens of [true, false]) {
      const stream = await world().stream(1);
      const runs = new Runs();
      const at: number[] = [];
      const consumer = await world().consumer(stream, runs.handler((context) => {
        at.push(performance.now());
        if (context.attempt === 1) return listens ? untilAborted(context) : never();
      }), { maxProcessingMs: 200, retry });
      const { id } = await world().client.send(stream, { key: 'k', data: 1 });
      await caughtUp(world(), stream, 1);
      expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([1, 2]);
      expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(218);
      expect(at[1]! - at[0]!).toBeLessThan(2_500);
      const { reason } = runs.contexts[0]!.signal as { reason: Error };
      expect(reason).toBeInstanceOf(HandlerTimeoutError);
      expect(reason.message).toContain(id);
      expect(reason.message).toContain('200 ms');
      expect(consumer.all('partition.retried')).toMatchObject([{ id, attempt: 1, error: { code: 'HANDLER_TIMEOUT' } }]);
      expect(runs.contexts[1]!.signal.aborted).toBe(false);
    }
  });

  it('what the late handler returns, throws or acknowledges changes nothing', async () => {
    const stream = await world().stream(1);
    const [late, second] = [gate(), gate()];
    const runs = new Runs();
    const acks: unknown[] = [];
    const consumer = await world().consumer(stream, runs.handler(async (context, n) => {
      if (n > 1) return second.opened;
      await late.opened;
      acks.push(await context.ack().then(() => 'stored', (error: unknown) => error));
      if (context.data === 'm1') throw new Error('late');
    }), { maxProcessingMs: 200, concurrency: 2, retry: { ...retry, maxAttempts: 10 } });
    await world().client.sendMany(stream, messages(2, 2));
    await waitUntil(() => runs.contexts.length === 4, { what: 'both run again' });
    const position = (await groupRow(world(), stream, 0))?.lastDeliveredId;
    late.open();
    await waitUntil(() => acks.length === 2, { what: 'the late ones have spoken' });
    for (const ack of acks) expect(ack).toBeInstanceOf(FencedError);
    expect((await groupRow(world(), stream, 0))?.lastDeliveredId).toBe(position);
    second.open();
    await caughtUp(world(), stream, 1);
    for (const id of new Set(runs.contexts.map((context) => context.id))) expect(runs.of(id).map(({ attempt }) => attempt)).toEqual(runs.of(id).map((_, i) => i + 1));
    expect(consumer.all('partition.retried').every(({ error }) => error instanceof HandlerTimeoutError)).toBe(true);
  });

  it('counts for each message from its own beginning', async () => {
    const stream = await world().stream(1);
    const startedAt = new Map<unknown, number>();
    const took = new Map<unknown, number>();
    await world().consumer(stream, (data, { signal }) => {
      startedAt.set(data, performance.now());
      return new Promise<void>((resolve) => signal.addEventListener('abort', () => (took.set(data, performance.now() - startedAt.get(data)!), resolve())));
    }, { maxProcessingMs: 400, concurrency: 10, retry: { ...retry, maxAttempts: 1 } });
    // Were the time counted from the last one's beginning, the first would end after more than 2,000 ms.
    for (let i = 0; i < 9; i++) {
      await world().client.send(stream, { key: `k${i}`, data: i });
      await waitUntil(() => startedAt.size === i + 1, { what: 'it runs' });
      const next = performance.now() + 200;
      await waitUntil(() => performance.now() > next, { what: 'the next one is due' });
    }
    await waitUntil(() => took.size === 9, { what: 'all are aborted' });
    for (const [data, ms] of took) {
      expect(ms, `message ${String(data)}`).toBeGreaterThanOrEqual(399);
      expect(ms, `message ${String(data)}`).toBeLessThan(1_600);
    }
  });

  it('its key waits meanwhile, other keys and handlers in time are left alone', async () => {
    const stream = await world().stream(1);
    const done: unknown[] = [];
    const runs = new Runs();
    await world().consumer(stream, runs.handler(async (context) => {
      if (context.data === 'm0' && context.attempt === 1) return untilAborted(context);
      await new Promise((resolve) => setTimeout(resolve, 30));
      done.push(context.data);
    }), { maxProcessingMs: 300, concurrency: 2, retry });
    await world().client.sendMany(stream, [{ key: 'k0', data: 'm0' }, { key: 'k0', data: 'm2' }, { key: 'k1', data: 'm1' }, { key: 'k1', data: 'm3' }]);
    await caughtUp(world(), stream, 1);
    expect(done).toEqual(['m1', 'm3', 'm0', 'm2']);
    expect(runs.ofKey('k1').every(({ attempt, signal }) => attempt === 1 && !signal.aborted)).toBe(true);
  });

  it('parks a message that never ends, and its key goes on', async () => {
    const stream = await world().stream(1);
    const runs = new Runs();
    await world().consumer(stream, runs.handler((context) => (context.data === 'm0' ? untilAborted(context) : undefined)), { maxProcessingMs: 80, retry });
    await world().client.sendMany(stream, messages(3, 1));
    await caughtUp(world(), stream, 1);
    expect(runs.contexts.map(({ data, attempt }) => `${String(data)} ${attempt}`)).toEqual(['m0 1', 'm0 2', 'm0 3', 'm1 1', 'm2 1']);
    const [letter] = await world().client.deadLetters({ stream, group: 'group' });
    expect(letter).toMatchObject({ reason: 'max-attempts', attempts: 3, data: '"m0"' });
    expect(letter!.error).toContain('80 ms');
  });

  it('ends handlers also while the application stops, if that comes first', async () => {
    const stream = await world().stream(1);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(untilAborted), { maxProcessingMs: 300, retry: { initialMs: 1_000 }, engine: { shutdown: { drainMs: 10_000 } } });
    await world().client.send(stream, { key: 'k', data: 1 });
    await waitUntil(() => runs.contexts.length === 1, { what: 'it runs' });
    const startedAt = performance.now();
    await a.stop();
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(runs.contexts[0]!.signal.reason).toBeInstanceOf(HandlerTimeoutError);
    // A failure as any other: the next owner counts it.
    const next = new Runs();
    await world().consumer(stream, next.handler());
    await caughtUp(world(), stream, 1);
    expect(next.contexts.map(({ attempt }) => attempt)).toEqual([2]);
  });

  it('when drainMs comes first, the handler is told of the stop, and nothing is counted', async () => {
    const stream = await world().stream(1);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(untilAborted), { maxProcessingMs: 60_000, engine: { shutdown: { drainMs: 200 } } });
    await world().client.send(stream, { key: 'k', data: 1 });
    await waitUntil(() => runs.contexts.length === 1, { what: 'it runs' });
    const startedAt = performance.now();
    await a.stop();
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(198);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(runs.contexts[0]!.signal.reason).toBeInstanceOf(PartitionLostError);
    expect(runs.contexts[0]!.signal.reason).toMatchObject({ reason: 'shutdown', partition: 0, stream });
    const next = new Runs();
    await world().consumer(stream, next.handler());
    await caughtUp(world(), stream, 1);
    expect(next.contexts.map(({ attempt }) => attempt)).toEqual([1]);
  });
});
