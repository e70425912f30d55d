import { expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { type Cutter, shaOf, startCutter } from '../support/cutter.js';
import { StreamMismatchError } from './support/engine.js';
import { failure } from '../support/failure.js';
import { gate, messages, Runs } from './support/handlers.js';
import { caughtUp, entriesOf, groupRow, keysOf, partitionKey } from './support/keys.js';
import { onTopologies } from './support/world.js';

onTopologies(['standalone'], 'lost answers', (world) => {
  const long = { session: { ttlMs: 6_000, heartbeatMs: 500 } };

  async function cutter(): Promise<Cutter> {
    const proxy = await startCutter(world().topology.servers[0]!.port);
    world().onEnd(() => proxy.stop());
    return proxy;
  }

  it.each([1, 3])('of a produce, %i times in a row: sent again, stored once', async (times) => {
    const stream = await world().stream(4);
    const proxy = await cutter();
    const client = world().engine({ connection: { url: proxy.url } }).partitions();
    await client.send(stream, { data: 'first' });
    proxy.cutAfter(shaOf('partition-produce'), times);
    const batch = messages(2_000, 50);
    const sent = await client.sendMany(stream, batch);
    expect(proxy.cuts).toBe(times);
    await client.sendMany(stream, messages(10, 1, 2_000));
    const stored = await Promise.all([0, 1, 2, 3].map((partition) => entriesOf(world(), stream, partition)));
    expect(stored.flat()).toHaveLength(2_011);
    for (const [i, { partition, id }] of sent.entries()) {
      expect(stored[partition]!.find((entry) => entry.id === id)?.fields).toEqual({ key: batch[i]!.key, data: JSON.stringify(batch[i]!.data) });
    }
  });

  it('of a produce that was refused in part: the answer of the resend is the same', async () => {
    const stream = await world().stream({ partitions: 2, retention: { maxEntries: 5 } });
    const proxy = await cutter();
    const client = world().engine({ connection: { url: proxy.url } }).partitions();
    await client.send(stream, { partition: 0, data: 'first' });
    proxy.cutAfter(shaOf('partition-produce'));
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, (_, data) => client.send(stream, { partition: 0, data })));
    expect(proxy.cuts).toBe(1);
    expect(outcomes.map(({ status }) => status)).toEqual([...Array<string>(4).fill('fulfilled'), ...Array<string>(4).fill('rejected')]);
    expect(await world().cli(['XLEN', partitionKey(world(), stream, 0)])).toBe(5);
  });

  it('of a produce that dropped messages: dropped once, told once', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 5, whenFull: 'drop-oldest' } });
    const proxy = await cutter();
    const engine = world().engine({ connection: { url: proxy.url } });
    let dropped = 0;
    engine.events.on('partition.dropped', ({ messages: count }) => { dropped += count; });
    await engine.partitions().sendMany(stream, messages(5));
    proxy.cutAfter(shaOf('partition-produce'));
    await engine.partitions().sendMany(stream, messages(3, 1, 5));
    expect(proxy.cuts).toBe(1);
    expect(dropped).toBe(3);
    expect((await entriesOf(world(), stream, 0)).map(({ fields }) => fields['data'])).toEqual([3, 4, 5, 6, 7].map((n) => `"m${n}"`));
    expect(await world().cli(['HGETALL', keysOf(stream).dropped(0)])).toEqual(['0', '3']);
  });

  it('of many produces, under load: every promise that resolved is stored, nothing is stored twice, order is kept', async () => {
    const stream = await world().stream(4);
    const proxy = await startProxy(world().topology.servers[0]!.port, { seed: 11 });
    world().onEnd(() => proxy.stop());
    const client = world().engine({ connection: { url: proxy.url } }).partitions();
    await client.send(stream, { data: 'first' });
    proxy.setFaults({ cutAfterWriteChance: 0.15 });
    const calls: Array<ReturnType<typeof client.send>> = [];
    // How often there is a write that can be cut is the producer's affair: on until enough were.
    while (calls.length < 3_000 || proxy.stats.cuts.afterWrite <= 3) {
      for (const message of messages(60, 40, calls.length)) calls.push(client.send(stream, message));
      if (calls.length % 600 === 0) await Promise.all(calls);
      else await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const sent = await Promise.all(calls);
    proxy.setFaults({});
    const stored = (await Promise.all([0, 1, 2, 3].map((partition) => entriesOf(world(), stream, partition))));
    expect(stored.flat()).toHaveLength(sent.length + 1);
    const order = new Map(sent.map(({ partition, id }, i) => [`${partition}/${id}`, i]));
    expect(order.size).toBe(sent.length);
    for (const [partition, entries] of stored.entries()) {
      const numbers = entries.map(({ id }) => order.get(`${partition}/${id}`)).filter((n) => n !== undefined);
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    }
  });

  it('of a commit: made again, nothing runs twice, the position is right', async () => {
    const stream = await world().stream(1);
    const proxy = await cutter();
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(), { engine: { connection: { url: proxy.url }, ...long } });
    await a.owns(1);
    for (let round = 1; round <= 3; round++) {
      proxy.cutAfter(shaOf('partition-commit'));
      await world().client.sendMany(stream, messages(10));
      await caughtUp(world(), stream, 1);
      await waitUntil(() => proxy.cuts === round, { what: 'an answer was lost' });
      await waitUntil(() => a.all('partition.committed').length > 0, { what: 'the commit was answered in the end' });
    }
    expect(runs.contexts).toHaveLength(30);
    expect(await groupRow(world(), stream, 0)).toMatchObject({ entriesRead: 30, lag: 0 });
    expect(a.all('partition.lost')).toEqual([]);
    expect(a.all('session.lost')).toEqual([]);
  });

  it('of a commit with a dead letter: parked once', async () => {
    const stream = await world().stream(1);
    const proxy = await cutter();
    const a = await world().consumer(stream, () => { throw new Error('never'); }, { retry: { maxAttempts: 1 }, engine: { connection: { url: proxy.url }, ...long } });
    await a.owns(1);
    proxy.cutAfter(shaOf('partition-commit'), 2);
    await world().client.send(stream, { key: 'k', data: 1 });
    await caughtUp(world(), stream, 1);
    await waitUntil(() => proxy.cuts === 2, { what: 'two answers were lost' });
    await waitUntil(() => a.all('partition.committed').length > 0, { what: 'the commit was answered in the end' });
    expect(await world().cli(['XLEN', keysOf(stream).dead(0)])).toBe(1);
  });

  it('of an ack: it resolves all the same', async () => {
    const stream = await world().stream(1);
    const proxy = await cutter();
    const outcomes: unknown[] = [];
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(async (context) => {
      proxy.cutAfter(shaOf('partition-commit'));
      outcomes.push(await context.ack().catch((error: unknown) => error));
    }), { ack: 'manual', engine: { connection: { url: proxy.url }, ...long } });
    await a.owns(1);
    const { id } = await world().client.send(stream, { data: 1 });
    await waitUntil(() => outcomes.length > 0, { what: 'the ack is settled' });
    expect(outcomes).toEqual([undefined]);
    expect(proxy.cuts).toBe(1);
    expect((await groupRow(world(), stream, 0))!.lastDeliveredId).toBe(id);
    expect(runs.contexts).toHaveLength(1);
  });

  it('of a grant: found again, with one owner and one assignment', async () => {
    const stream = await world().stream(6);
    const proxy = await cutter();
    const runs = new Runs();
    proxy.cutAfter(shaOf('partition-sync'), 3);
    const a = await world().consumer(stream, runs.handler(), { engine: { connection: { url: proxy.url }, ...long } });
    await a.owns(6);
    expect(proxy.cuts).toBe(3);
    expect(a.all('partition.assigned')).toHaveLength(6);
    await world().client.sendMany(stream, messages(60, 20));
    await caughtUp(world(), stream, 6);
    expect(runs.contexts).toHaveLength(60);
  });

  it('of a plan: no second plan for the same members, and everybody gets a share', async () => {
    const stream = await world().stream(6);
    const proxy = await cutter();
    const a = await world().consumer(stream, () => undefined, { engine: { connection: { url: proxy.url }, ...long } });
    await a.owns(6);
    proxy.cutAfter(shaOf('partition-plan'));
    const b = await world().consumer(stream, () => undefined, { engine: { connection: { url: proxy.url }, ...long } });
    await Promise.all([a.owns(3), b.owns(3)]);
    expect(proxy.cuts).toBe(1);
    expect([...a.owned, ...b.owned].sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('of an opening: the owner begins all the same, and no death is counted', async () => {
    const stream = await world().stream(2);
    const proxy = await cutter();
    const runs = new Runs();
    await world().client.sendMany(stream, messages(20, 5));
    proxy.cutAfter(shaOf('partition-open'), 2);
    await world().consumer(stream, runs.handler(), { engine: { connection: { url: proxy.url }, ...long } });
    await caughtUp(world(), stream, 2);
    expect(proxy.cuts).toBe(2);
    expect(runs.contexts).toHaveLength(20);
  });

  it('of a release: the partition moves, and nothing runs twice', async () => {
    const stream = await world().stream(4);
    const proxy = await cutter();
    const [one, two] = [new Runs(), new Runs()];
    const a = await world().consumer(stream, one.handler(), { engine: { connection: { url: proxy.url }, ...long } });
    await a.owns(4);
    await world().client.sendMany(stream, messages(40, 20));
    await caughtUp(world(), stream, 4);
    const b = await world().consumer(stream, two.handler(), { engine: long });
    await waitUntil(() => a.owned.length < 4, { what: 'a gives back' });
    proxy.cutAfter(shaOf('partition-sync'), 2);
    await Promise.all([a.owns(2), b.owns(2)]);
    await world().client.sendMany(stream, messages(40, 20, 40));
    await caughtUp(world(), stream, 4);
    expect(one.contexts.length + two.contexts.length).toBe(80);
    expect([...a.all('partition.lost'), ...b.all('partition.lost')]).toEqual([]);
  });

  it('of the last words: the next consumer does not wait for the deadline', async () => {
    const stream = await world().stream(2);
    const proxy = await cutter();
    const a = await world().consumer(stream, () => undefined, { engine: { connection: { url: proxy.url }, session: { ttlMs: 60_000 } } });
    await a.owns(2);
    proxy.cutAfter(shaOf('partition-leave'));
    await a.stop();
    expect(proxy.cuts).toBe(1);
    const b = await world().consumer(stream, () => undefined, { engine: long });
    await b.owns(2, 2_000);
  });

  it('of heartbeats: nothing is lost', async () => {
    const stream = await world().stream(2);
    const proxy = await cutter();
    const a = await world().consumer(stream, () => undefined, { engine: { connection: { url: proxy.url }, session: { ttlMs: 2_000 } } });
    await a.owns(2);
    proxy.cutAfter(shaOf('heartbeat'), 3);
    await waitUntil(() => proxy.cuts === 3, { what: 'three heartbeats have lost their answer' });
    await a.saw('session.renewed', a.all('session.renewed').length + 3);
    expect(a.all('session.lost')).toEqual([]);
    expect(a.all('partition.lost')).toEqual([]);
  });

  it('of a registration: it is ours, and a differing one is still refused', async () => {
    const name = world().name();
    const proxy = await cutter();
    proxy.cutAfter(shaOf('register'));
    await world().engine({ connection: { url: proxy.url } }).partitions().register({ name, partitions: 3 });
    expect(proxy.cuts).toBe(1);
    expect(await failure(world().engine().partitions().register({ name, partitions: 4 }))).toBeInstanceOf(StreamMismatchError);
  });

  it('of a seek: the position is where it was sought to', async () => {
    const stream = await world().stream({ partitions: 1, retention: { keepMs: 600_000 } });
    const proxy = await cutter();
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(), { engine: long });
    await world().client.sendMany(stream, messages(10));
    await caughtUp(world(), stream, 1);
    proxy.cutAfter(shaOf('partition-seek'));
    await world().engine({ connection: { url: proxy.url } }).partitions().seek({ stream, group: 'group' }, 'earliest');
    expect(proxy.cuts).toBe(1);
    await waitUntil(() => runs.contexts.length === 20, { what: 'all have run again' });
    await caughtUp(world(), stream, 1);
    expect(a.all('session.lost')).toEqual([]);
  });

  it('of a pause and of its end: both hold', async () => {
    const stream = await world().stream(2);
    const proxy = await cutter();
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(), { engine: long });
    await a.owns(2);
    const client = world().engine({ connection: { url: proxy.url } }).partitions();
    const ref = { stream, group: 'group' };
    await client.assignment(ref);
    proxy.cutAfter(shaOf('partition-control'));
    await client.pause(ref);
    await a.saw('partition.paused');
    proxy.cutAfter(shaOf('partition-control'));
    await client.resume(ref);
    await a.saw('partition.paused', 2);
    expect(proxy.cuts).toBe(2);
    await world().client.sendMany(stream, messages(4, 4));
    await caughtUp(world(), stream, 2);
  });

  it('of reads, again and again: what was read and not seen is read again, once', async () => {
    const stream = await world().stream(3);
    const proxy = await cutter();
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(), { engine: { connection: { url: proxy.url }, ...long } });
    await a.owns(3);
    for (let round = 1; round <= 5; round++) {
      proxy.cutAfter('XREAD');
      await world().client.sendMany(stream, messages(30, 10, round * 30));
      await waitUntil(() => runs.contexts.length >= round * 30, { what: 'all of this round have run' });
    }
    await caughtUp(world(), stream, 3);
    expect(proxy.cuts).toBeGreaterThan(0);
    expect(runs.contexts).toHaveLength(150);
    await a.saw('reader.error');
    await a.saw('reader.recovered');
  });

  it('of a stop\'s last commit: nothing runs again at the next owner', async () => {
    const stream = await world().stream(1);
    const proxy = await cutter();
    const hold = gate();
    const [one, two] = [new Runs(), new Runs()];
    const a = await world().consumer(stream, one.handler(() => hold.opened), { concurrency: 5, engine: { connection: { url: proxy.url }, shutdown: { drainMs: 5_000 }, ...long } });
    await a.owns(1);
    await world().client.sendMany(stream, messages(5, 5));
    await waitUntil(() => one.contexts.length === 5, { what: 'all five run' });
    const stopping = a.stop();
    proxy.cutAfter(shaOf('partition-commit'));
    hold.open();
    await stopping;
    expect(proxy.cuts).toBe(1);
    await world().consumer(stream, two.handler(), { engine: long });
    await world().client.send(stream, { key: 'k0', data: 'after' });
    await caughtUp(world(), stream, 1);
    expect(two.data).toEqual(['after']);
  });
});
