import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { consume } from './support/consumer.js';
import { ConsumerNameInUseError } from './support/engine.js';
import { gate, numbers, Runs } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { drained } from './support/state.js';
import { BOTH, onTopologies } from './support/world.js';

const TWIN = { consumerName: 'twin', session: { ttlMs: 2_000 } };

onTopologies(BOTH, 'one consumer name, two processes', (world) => {
  it('a second live process gets a clear error, and the first does not notice', async () => {
    const queue = await world().queue();
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(), { engine: TWIN });
    const session = a.session();
    await expect(consume(world(), queue, () => undefined, { engine: TWIN })).rejects.toThrow(ConsumerNameInUseError);
    await expect(consume(world(), queue, () => undefined, { engine: TWIN })).rejects.toThrow(/"twin" is in use by the live session twin:\w+/);
    await world().client.queue(queue).sendMany(numbers(30).map((data) => ({ data })));
    await drained(world(), queue);
    expect(runs.contexts).toHaveLength(30);
    expect(a.session()).toBe(session);
    expect(a.all('session.lost')).toEqual([]);
    // Free again once its process has left.
    await a.stop();
    await consume(world(), queue, () => undefined, { engine: TWIN });
  });
});

// With one shard only: where there are several, the two may meet in each of them, and whoever comes second in any ends.
onTopologies(['standalone'], 'one consumer name, taken meanwhile', (world) => {
  it('a process whose name was taken while it was away ends for good, and says why; its messages go to the other', async () => {
    const queue = await world().queue();
    const hold = gate();
    const [mine, theirs] = [new Runs(), new Runs()];
    // Seldom heard of: it must not notice before the other has come.
    const a = await consume(world(), queue, mine.handler(() => hold.opened), { engine: { ...TWIN, session: { ttlMs: 5_000, heartbeatMs: 2_000 } }, concurrency: 2 });
    await world().client.queue(queue).sendMany(numbers(12).map((data) => ({ data })));
    await mine.calls(2);
    // What a process that was stopped past its deadline finds when it wakes.
    const shards = Array.from({ length: world().shards }, (_, shard) => keysOf(queue, { shards: world().shards, shard }));
    await Promise.all(shards.map(({ sessions }, shard) => world().cli(['ZADD', sessions, 1, a.session(shard)!])));
    const b = await consume(world(), queue, theirs.handler(), { engine: TWIN });
    // It challenges the other, which on a busy machine may be too slow to answer, and is the one that ends then.
    await waitUntil(() => a.all('queue.terminated').length + b.all('queue.terminated').length > 0, { what: 'one of them ends', timeoutMs: 30_000 });
    expect([...a.all('queue.terminated'), ...b.all('queue.terminated')]).toMatchObject([{ queue, reason: 'name-in-use', error: expect.any(ConsumerNameInUseError) }]);
    expect(mine.contexts.slice(0, 2).every(({ signal }) => signal.aborted)).toBe(true);
    hold.open();
    await drained(world(), queue);
    expect(new Set([...theirs.data, ...mine.data]).size).toBe(12);
    await waitUntil(() => mine.running === 0, { what: 'its handlers end' });
  });
});

onTopologies(['standalone'], 'prefetch that is no more than concurrency', (world) => {
  it('a handler that is free gets the next message while another still runs', async () => {
    const queue = await world().queue();
    const hold = gate();
    const runs = new Runs();
    await consume(world(), queue, runs.handler(({ data }) => (data === 0 ? hold.opened : undefined)), { concurrency: 2, prefetch: 2 });
    await world().client.queue(queue).sendMany(numbers(40).map((data) => ({ data })));
    await runs.calls(40); // the first of them is still running
    expect(runs.running).toBe(1);
    hold.open();
    await drained(world(), queue);
    expect(runs.contexts).toHaveLength(40);
  });
});
