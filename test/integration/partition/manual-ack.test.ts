import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { FencedError, HandlerTimeoutError, PartitionLostError, type PartitionContext } from './support/engine.js';
import { gate } from './support/handlers.js';
import { caughtUp, groupRow, keysOf } from './support/keys.js';
import { BOTH, onTopologies, type World } from './support/world.js';

/** Whether the server has this message as committed. Later ones may be, too: a key goes on at the acknowledgement. */
async function isStored(world: World, { stream, partition, id }: PartitionContext): Promise<boolean> {
  const [at, mine] = [(await groupRow(world, stream, partition))!.lastDeliveredId, id].map((text) => text.split('-').map(Number) as [number, number]);
  return at![0] > mine![0] || (at![0] === mine![0] && at![1] >= mine![1]);
}

const manual = { ack: 'manual' as const, concurrency: 4 };

onTopologies(BOTH, 'manual acknowledgement', (world) => {
  it('resolves when it is stored', async () => {
    const stream = await world().stream(2);
    const stored: boolean[] = [];
    await world().consumer(stream, async (_, context) => {
      await context.ack();
      stored.push(await isStored(world(), context));
    }, { ack: 'manual' });
    await world().client.sendMany(stream, Array.from({ length: 20 }, (_, i) => ({ key: `k${i % 4}`, data: i })));
    await waitUntil(() => stored.length === 20, { what: 'all are acknowledged' });
    expect(stored).not.toContain(false);
  });

  it('a return without it keeps the key waiting, others go on; acknowledged later it goes on', async () => {
    const stream = await world().stream(1);
    const contexts: PartitionContext[] = [];
    await world().consumer(stream, (_, context) => {
      contexts.push(context);
      return context.key === 'a' && context.data === 1 ? undefined : context.ack();
    }, manual);
    await world().client.sendMany(stream, [{ key: 'a', data: 1 }, { key: 'a', data: 2 }, { key: 'b', data: 3 }, { key: 'c', data: 4 }, { key: 'b', data: 5 }]);
    await waitUntil(() => contexts.length === 4, { what: 'the others are handled' });
    expect(contexts.map(({ key }) => key).sort()).toEqual(['a', 'b', 'b', 'c']);
    expect((await groupRow(world(), stream, 0))?.lastDeliveredId).toBe('0-0');
    await contexts[0]!.ack();
    await caughtUp(world(), stream, 1);
    expect(contexts.map(({ data }) => data).at(-1)).toBe(2);
    expect(contexts).toHaveLength(5);
  });

  it('a handler that fails after it is reported, and not run again', async () => {
    const stream = await world().stream(1);
    let runs = 0;
    const consumer = await world().consumer(stream, async (_, context) => {
      runs++;
      await context.ack();
      throw new Error('too late');
    }, manual);
    const { id } = await world().client.send(stream, { data: 1 });
    const [told] = await consumer.saw('error');
    expect(told).toMatchObject({ error: { message: 'too late' }, context: { stream, partition: 0, during: `the handler of message ${id}, after it had acknowledged it` } });
    await caughtUp(world(), stream, 1);
    expect([runs, consumer.all('partition.retried')]).toEqual([1, []]);
  });

  it('may be said again, and from outside the handler', async () => {
    const stream = await world().stream(1);
    const contexts: PartitionContext[] = [];
    await world().consumer(stream, (_, context) => void contexts.push(context), manual);
    await world().client.sendMany(stream, [{ key: 'a', data: 1 }, { key: 'b', data: 2 }]);
    await waitUntil(() => contexts.length === 2, { what: 'both are handed over' });
    await contexts[1]!.ack();
    expect((await groupRow(world(), stream, 0))?.lastDeliveredId).toBe('0-0'); // the first one is still open
    await Promise.all([contexts[0]!.ack(), contexts[0]!.ack(), contexts[1]!.ack()]);
    expect((await groupRow(world(), stream, 0))?.lastDeliveredId).toBe(contexts[1]!.id);
    await contexts[0]!.ack();
  });

  it('not said within maxProcessingMs: the signal aborts, delivered again, and the late ack is refused', async () => {
    const stream = await world().stream(1);
    const contexts: PartitionContext[] = [];
    await world().consumer(stream, (_, context) => {
      contexts.push(context);
      return context.attempt === 1 ? undefined : context.ack();
    }, { ...manual, maxProcessingMs: 150, retry: { initialMs: 20 } });
    await world().client.send(stream, { key: 'a', data: 1 });
    await waitUntil(() => contexts.length === 2, { what: 'it is delivered again' });
    expect(contexts[0]!.signal.reason).toBeInstanceOf(HandlerTimeoutError);
    await caughtUp(world(), stream, 1);
    await expect(contexts[0]!.ack()).rejects.toBeInstanceOf(FencedError);
    expect(contexts.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  it('a throw before it is a failure, after it nothing', async () => {
    const stream = await world().stream(1);
    const contexts: PartitionContext[] = [];
    const consumer = await world().consumer(stream, async (data, context) => {
      contexts.push(context);
      if (data === 'before' && context.attempt === 1) throw new Error('before');
      await context.ack();
      if (data === 'after') throw new Error('after');
    }, { ...manual, retry: { initialMs: 5 } });
    await world().client.sendMany(stream, [{ key: 'a', data: 'before' }, { key: 'b', data: 'after' }, { key: 'b', data: 'last' }]);
    await caughtUp(world(), stream, 1);
    expect(contexts.map(({ data, attempt }) => `${String(data)} ${attempt}`).sort()).toEqual(['after 1', 'before 1', 'before 2', 'last 1']);
    expect(consumer.all('partition.retried')).toHaveLength(1);
  });

  it('after the loss of the session is refused with a FencedError, and the message is the next owner\'s', async () => {
    const stream = await world().stream(1);
    const contexts: PartitionContext[] = [];
    const handler = (_: unknown, context: PartitionContext): void => void contexts.push(context);
    const a = await world().consumer(stream, handler, manual);
    await world().client.send(stream, { key: 'a', data: 1 });
    await waitUntil(() => contexts.length === 1, { what: 'it is handed over' });
    await world().consumer(stream, handler, manual);
    // As after a long pause: the server says that it is dead. It joins again, so it may be its own successor.
    await world().cli(['ZADD', keysOf(stream).sessions, 1, a.session!]);
    await waitUntil(() => contexts.length === 2, { what: 'it is handed over again' });
    expect(contexts[1]!.fencingToken).toBeGreaterThan(contexts[0]!.fencingToken);
    expect(contexts[1]!.attempt).toBe(1);
    await expect(contexts[0]!.ack()).rejects.toBeInstanceOf(FencedError);
    await waitUntil(() => contexts[0]!.signal.aborted, { what: 'the first one is told' });
    expect(contexts[0]!.signal.reason).toBeInstanceOf(PartitionLostError);
    await contexts[1]!.ack();
    await caughtUp(world(), stream, 1);
  });

  it('of an owner that does not know yet that it is none is refused by the server', async () => {
    const stream = await world().stream(1);
    const contexts: PartitionContext[] = [];
    await world().consumer(stream, (_, context) => void contexts.push(context), manual);
    const [first] = await world().client.sendMany(stream, [{ key: 'a', data: 1 }, { key: 'b', data: 2 }]);
    await waitUntil(() => contexts.length === 2, { what: 'both are handed over' });
    // What a new owner does first: its epoch stands in the position from then on.
    const key = keysOf(stream, { shards: 1 }).positions(0);
    const before = String(await world().cli(['HGET', key, '0']));
    const epoch = Number(before.split(' ')[0]) + 1;
    await world().cli(['HSET', key, '0', before.replace(/^\d+/, String(epoch))]);
    const error = await contexts[0]!.ack().then(() => undefined, (reason: unknown) => reason);
    expect(error).toBeInstanceOf(FencedError);
    expect(error).toMatchObject({ code: 'FENCED', token: contexts[0]!.fencingToken });
    // It takes the partition anew, above that epoch, and what was refused is handled again.
    await waitUntil(() => contexts.length === 4, { what: 'both are handed over again' });
    expect(contexts[2]).toMatchObject({ id: first!.id, attempt: 1 });
    expect(contexts[2]!.fencingToken).toBeGreaterThan(epoch);
    expect(contexts[1]!.signal.reason).toMatchObject({ code: 'PARTITION_LOST', reason: 'fenced' });
    await Promise.all([contexts[2]!.ack(), contexts[3]!.ack()]);
    await caughtUp(world(), stream, 1);
  });

  it('is waited for when the application stops', async () => {
    const stream = await world().stream(1);
    const contexts: PartitionContext[] = [];
    const a = await world().consumer(stream, (_, context) => void contexts.push(context), { ...manual, engine: { shutdown: { drainMs: 5_000 } } });
    await world().client.send(stream, { key: 'a', data: 1 });
    await waitUntil(() => contexts.length === 1, { what: 'it is handed over' });
    const stopped = a.stop();
    await contexts[0]!.ack();
    const startedAt = performance.now();
    await stopped;
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect((await groupRow(world(), stream, 0))?.lag).toBe(0);
    expect(a.errors).toEqual([]);
  });

  it('early in auto mode lets the key go on while the handler still works; what the handler says later changes nothing', async () => {
    const stream = await world().stream(1);
    const finish = gate();
    const done: unknown[] = [];
    let stored = false;
    const consumer = await world().consumer(stream, async (data, context) => {
      if (data === 1) {
        await context.ack();
        stored = await isStored(world(), context);
        await finish.opened;
        done.push(data);
        throw new Error('too late to matter');
      }
      done.push(data);
    });
    await world().client.sendMany(stream, [{ key: 'a', data: 1 }, { key: 'a', data: 2 }]);
    await caughtUp(world(), stream, 1);
    expect(done).toEqual([2]);
    await waitUntil(() => stored, { what: 'the acknowledgement is stored' });
    finish.open();
    await waitUntil(() => done.length === 2, { what: 'the first one ends' });
    await consumer.stop();
    expect(done).toEqual([2, 1]);
    expect(consumer.all('partition.retried')).toEqual([]);
    expect((await groupRow(world(), stream, 0))?.lag).toBe(0);
  });
});
