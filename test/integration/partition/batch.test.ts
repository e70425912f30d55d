import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import type { PartitionBatchContext } from './support/engine.js';
import { gate, messages } from './support/handlers.js';
import { caughtUp, groupRow } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

const retry = { maxAttempts: 3, initialMs: 20, maxMs: 20, jitter: 0 };

/** Keeps every batch, in order. */
class Batches {
  readonly contexts: PartitionBatchContext[] = [];

  handler(body: (data: unknown[], context: PartitionBatchContext) => unknown = () => undefined) {
    return { batch: (data: unknown[], context: PartitionBatchContext) => (this.contexts.push(context), body(data, context)) };
  }

  get sizes(): number[] { return this.contexts.map(({ messages: list }) => list.length); }

  get handled(): Array<{ key: string | undefined; n: number; attempt: number; partition: number }> {
    return this.contexts.flatMap(({ messages: list }) => list.map(({ key, data, attempt, partition }) => ({ key, attempt, partition, n: Number(String(data).slice(1)) })));
  }
}

onTopologies(BOTH, 'batches', (world) => {
  it.each([1, 4])('are of one partition, at most as large as asked for, and keep each key in order (concurrency %i)', async (concurrency) => {
    const stream = await world().stream(3);
    await world().client.sendMany(stream, messages(600, 12));
    const seen = new Batches();
    await world().consumer(stream, seen.handler(async (data, context) => {
      expect(context.messages.map((message) => message.data)).toEqual(data);
      for (const message of context.messages) expect(message.partition).toBe(context.partition);
      await Promise.resolve();
    }), { batch: 50, concurrency });
    await caughtUp(world(), stream, 3);
    expect(Math.max(...seen.sizes)).toBe(50);
    expect(seen.handled).toHaveLength(600);
    for (let k = 0; k < 12; k++) expect(seen.handled.filter(({ key }) => key === `k${k}`).map(({ n }) => n)).toEqual(Array.from({ length: 50 }, (_, i) => k + 12 * i));
    for (const { messages: list, stream: name, group, fencingToken } of seen.contexts) {
      // Within a batch: as they were sent.
      expect(list.map(({ id }) => id)).toEqual(list.map(({ id }) => id).sort((a, b) => Number(a.split('-')[0]) - Number(b.split('-')[0]) || Number(a.split('-')[1]) - Number(b.split('-')[1])));
      expect([name, group]).toEqual([stream, 'group']);
      expect(fencingToken).toBeGreaterThan(0);
    }
  });

  it('are handed over as they are: nothing waits for a batch to fill', async () => {
    const stream = await world().stream(1);
    const seen = new Batches();
    const consumer = await world().consumer(stream, seen.handler(), { batch: 100 });
    await consumer.owns(1);
    for (let i = 0; i < 3; i++) {
      const sentAt = performance.now();
      await world().client.send(stream, { key: 'k', data: `m${i}` });
      await waitUntil(() => seen.contexts.length === i + 1, { what: 'it is handed over', intervalMs: 1 });
      expect(performance.now() - sentAt).toBeLessThan(2_000);
    }
    expect(seen.sizes).toEqual([1, 1, 1]);
  });

  it('hold 100 messages at most unless told otherwise', async () => {
    const stream = await world().stream(1);
    await world().client.sendMany(stream, messages(250, 250));
    const seen = new Batches();
    await world().consumer(stream, seen.handler());
    await caughtUp(world(), stream, 1);
    expect(Math.max(...seen.sizes)).toBe(100);
  });

  it('do not run keys side by side that another batch is running', async () => {
    const stream = await world().stream(1);
    const finish = gate();
    const seen = new Batches();
    await world().consumer(stream, seen.handler(() => finish.opened), { batch: 10, concurrency: 2 });
    const send = (...keys: string[]): Promise<unknown> => world().client.sendMany(stream, keys.map((key) => ({ key, data: 'm0' })));
    await send('a', 'b', 'a');
    await waitUntil(() => seen.contexts.length === 1, { what: 'the first batch runs' });
    await send('a', 'c', 'b', 'c');
    await waitUntil(() => seen.contexts.length === 2, { what: 'the second batch runs' });
    expect(seen.contexts.map(({ messages: list }) => list.map(({ key }) => key))).toEqual([['a', 'b', 'a'], ['c', 'c']]);
    finish.open();
    await caughtUp(world(), stream, 1);
    expect(seen.handled.slice(5).map(({ key }) => key).sort()).toEqual(['a', 'b']);
  });

  it('that throw are handled again message by message, in order, and then in batches again', async () => {
    const stream = await world().stream(1);
    const seen = new Batches();
    let failed = false;
    const consumer = await world().consumer(stream, seen.handler(() => {
      if (failed) return;
      failed = true;
      throw new Error('not today');
    }), { batch: 20, retry });
    await world().client.sendMany(stream, messages(20, 4));
    await waitUntil(() => seen.handled.filter(({ attempt }) => attempt === 2).length === seen.sizes[0], { what: 'all of the first batch ran again' });
    await caughtUp(world(), stream, 1);
    const first = seen.sizes[0]!;
    const again = seen.contexts.filter(({ messages: list }) => list.some(({ attempt }) => attempt === 2));
    expect(again.every(({ messages: list }) => list.length === 1)).toBe(true);
    expect(again).toHaveLength(first);
    const finished = seen.contexts.slice(1).flatMap(({ messages: list }) => list.map(({ key, data }) => [key, Number(String(data).slice(1))] as const));
    for (let k = 0; k < 4; k++) expect(finished.filter(([key]) => key === `k${k}`).map(([, n]) => n)).toEqual([0, 1, 2, 3, 4].map((i) => k + 4 * i));
    expect(consumer.all('partition.retried')).toHaveLength(first);
    await world().client.sendMany(stream, messages(20, 20, 20));
    await caughtUp(world(), stream, 1);
    expect(Math.max(...seen.sizes.slice(-20))).toBeGreaterThan(1);
  });

  it('a message that failed is alone also when new ones wait with it', async () => {
    const stream = await world().stream(1);
    const seen = new Batches();
    const finish = gate();
    const consumer = await world().consumer(stream, seen.handler((data, { messages: list }) => {
      if (data[0] === 'm0' && list[0]!.attempt === 1) throw new Error('once');
      if (data[0] === 'm1') return finish.opened;
    }), { batch: 10, retry: { ...retry, initialMs: 50, maxMs: 50 } });
    await world().client.sendMany(stream, messages(1, 20));
    await consumer.saw('partition.retried');
    const due = performance.now() + 50;
    await world().client.sendMany(stream, messages(1, 20, 1));
    await waitUntil(() => seen.contexts.length === 2, { what: 'the partition is busy' });
    await world().client.sendMany(stream, messages(5, 20, 2));
    // Read and due, both: nothing shows it, so this takes longer than either.
    await waitUntil(() => performance.now() > due + 100, { what: 'its delay is over' });
    finish.open();
    await caughtUp(world(), stream, 1);
    expect(seen.contexts.find(({ messages: list }) => list[0]!.attempt === 2)!.messages.map(({ data }) => data)).toEqual(['m0']);
    expect(seen.sizes.slice(0, 3)).toEqual([1, 1, 1]);
    expect(seen.handled).toHaveLength(8);
  });

  it('one message that cannot be handled is parked alone; its neighbours and its key go on', async () => {
    const stream = await world().stream(1);
    await world().client.sendMany(stream, messages(20, 4));
    const seen = new Batches();
    await world().consumer(stream, seen.handler((data) => { if (data.includes('m6')) throw new Error('m6 cannot be handled'); }), { batch: 20, retry });
    await caughtUp(world(), stream, 1);
    expect(await world().client.deadLetters({ stream, group: 'group' })).toMatchObject([{ data: '"m6"', reason: 'max-attempts', attempts: 3 }]);
    const attempts = (n: number): number[] => seen.handled.filter((message) => message.n === n).map(({ attempt }) => attempt);
    expect(attempts(6)).toEqual([1, 2, 3]);
    for (const n of [0, 1, 3, 5, 7, 19]) expect(attempts(n)).toEqual([1, 2]);
    // Its key waited for its end.
    const order = seen.handled.filter(({ key, attempt }) => key === 'k2' && attempt > 1).map(({ n }) => n);
    expect(order).toEqual([2, 6, 6, 10, 14, 18]);
  });

  it('with an unreadable message in it lose that one only', async () => {
    const stream = await world().stream(1);
    const { partition } = (await import('./support/keys.js')).keysOf(stream, { shards: 1 });
    await world().client.sendMany(stream, messages(5, 2));
    await world().cli(['XADD', partition(0), '*', 'key', 'k0', 'data', '{']);
    await world().client.sendMany(stream, messages(5, 2, 5));
    const seen = new Batches();
    await world().consumer(stream, seen.handler(), { batch: 100 });
    await caughtUp(world(), stream, 1);
    expect(seen.handled.map(({ n }) => n).sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(seen.handled.every(({ attempt }) => attempt === 1)).toBe(true);
    expect(await world().client.deadLetters({ stream, group: 'group' })).toMatchObject([{ reason: 'invalid-json', key: 'k0' }]);
    for (const key of ['k0', 'k1']) expect(seen.handled.filter((message) => message.key === key).map(({ n }) => n)).toEqual([0, 2, 4, 6, 8].map((n) => (key === 'k0' ? n : n + 1)));
  });

  it('with manual ack are acknowledged as a whole', async () => {
    const stream = await world().stream(1);
    await world().client.sendMany(stream, messages(10, 10));
    const seen = new Batches();
    await world().consumer(stream, seen.handler(), { batch: 10, ack: 'manual' });
    await waitUntil(() => seen.contexts.length === 1, { what: 'the batch runs' });
    expect((await groupRow(world(), stream, 0))?.lag).toBe(10);
    await seen.contexts[0]!.ack();
    expect((await groupRow(world(), stream, 0))?.lag).toBe(0);
    expect(seen.contexts).toHaveLength(1);
  });

  it('taking too long are handled again message by message', async () => {
    const stream = await world().stream(1);
    await world().client.sendMany(stream, messages(4, 2));
    const seen = new Batches();
    await world().consumer(stream, seen.handler((_, { messages: list }) => (list.length > 1 ? new Promise(() => undefined) : undefined)), { batch: 4, maxProcessingMs: 100, retry });
    await caughtUp(world(), stream, 1);
    expect(seen.sizes).toEqual([4, 1, 1, 1, 1]);
    expect(seen.contexts[0]!.signal.reason).toMatchObject({ code: 'HANDLER_TIMEOUT' });
    expect(seen.handled.slice(4).every(({ attempt }) => attempt === 2)).toBe(true);
  });
});
