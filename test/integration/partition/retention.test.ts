import { expect, it } from 'vitest';
import type { Reply } from '../../support/redis-command.js';
import { waitUntil } from '../../support/wait.js';
import { PartitionFullError, type SentMessage } from './support/engine.js';
import { failure } from '../support/failure.js';
import { gate, messages, Runs } from './support/handlers.js';
import { caughtUp, entriesOf, groupRow, keysOf, partitionKey } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'retention', (world) => {
  const to = (partition: number, count: number, from = 0) => messages(count, 5, from).map(({ key, data }) => ({ key: `${key}/${partition}`, data, partition }));
  const size = async (stream: string, partition = 0): Promise<number> => Number(await world().cli(['XLEN', partitionKey(world(), stream, partition)]));
  const ref = (stream: string, group = 'group') => ({ stream, group });

  it('a full partition refuses with a typed error, loses nothing, and leaves the others alone', async () => {
    const stream = await world().stream({ partitions: 3, retention: { maxEntries: 10 } });
    const sent = await world().client.sendMany(stream, to(1, 10));
    const error = await failure<PartitionFullError>(world().client.send(stream, { partition: 1, data: 'too much' }));
    expect(error).toBeInstanceOf(PartitionFullError);
    expect(error).toMatchObject({ code: 'PARTITION_FULL', retriable: true, stream, partition: 1 });
    expect(error.message).toMatch(/partition 1 of .* is full: 10 messages/);
    expect(await failure(world().client.sendMany(stream, to(1, 3)))).toBeInstanceOf(PartitionFullError);
    expect((await entriesOf(world(), stream, 1)).map(({ id }) => id)).toEqual(sent.map(({ id }) => id));
    await world().client.sendMany(stream, [...to(0, 10), ...to(2, 10)]);
    const runs = new Runs();
    await world().consumer(stream, runs.handler());
    await caughtUp(world(), stream, 3);
    expect(runs.distinct).toBe(30);
    expect(runs.contexts).toHaveLength(30);
  });

  it('one batch over the bound: the first fit, the rest are refused, in order', async () => {
    const stream = await world().stream({ partitions: 2, retention: { maxEntries: 10 } });
    const outcomes = await Promise.allSettled([...to(0, 13), ...to(1, 5)].map((message) => world().client.send(stream, message)));
    expect(outcomes.map(({ status }) => status)).toEqual([...Array<string>(10).fill('fulfilled'), ...Array<string>(3).fill('rejected'), ...Array<string>(5).fill('fulfilled')]);
    expect((await entriesOf(world(), stream, 0)).map(({ fields }) => fields['data'])).toEqual(to(0, 10).map(({ data }) => `"${data}"`));
    expect(await size(stream, 1)).toBe(5);
  });

  it('as soon as every group has committed there is room again', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 10 } });
    const hold = gate();
    const [fast, slow] = [new Runs(), new Runs()];
    // A group that has not begun has no claim on anything: both have to have.
    await (await world().consumer(stream, fast.handler(), { group: 'fast' })).owns(1);
    await (await world().consumer(stream, slow.handler(() => hold.opened), { group: 'slow' })).owns(1);
    await world().client.sendMany(stream, to(0, 10));
    await caughtUp(world(), stream, 1, { group: 'fast' });
    expect(await failure(world().client.send(stream, { data: 1 }))).toBeInstanceOf(PartitionFullError);
    expect(await size(stream)).toBe(10);
    hold.open();
    await caughtUp(world(), stream, 1, { group: 'slow' });
    await world().client.sendMany(stream, to(0, 10, 10));
    expect(await size(stream)).toBe(10);
    await caughtUp(world(), stream, 1, { group: 'slow' });
    await caughtUp(world(), stream, 1, { group: 'fast' });
    expect([fast.distinct, slow.distinct, fast.contexts.length, slow.contexts.length]).toEqual([20, 20, 20, 20]);
  });

  it('room grows by what was committed, not by more', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 10 } });
    let done = 0;
    const holds = Array.from({ length: 10 }, gate);
    await world().consumer(stream, async () => holds[done++]?.opened);
    const sent = await world().client.sendMany(stream, to(0, 10));
    for (const hold of holds.slice(0, 3)) hold.open();
    await waitUntil(async () => (await groupRow(world(), stream, 0))?.lastDeliveredId === sent[2]!.id, { what: 'three are committed' });
    const outcomes = await Promise.allSettled(to(0, 5, 10).map((message) => world().client.send(stream, message)));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected']);
    expect((await entriesOf(world(), stream, 0))[0]!.id).toBe(sent[3]!.id);
    for (const hold of holds) hold.open();
    await caughtUp(world(), stream, 1);
  });

  it('a message finished beyond an unfinished one is not trimmed with it, nor is the unfinished one', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 10 } });
    const hold = gate();
    const runs = new Runs();
    await world().consumer(stream, runs.handler(({ key }) => (key === 'k0/0' ? hold.opened : undefined)), { concurrency: 5 });
    const sent = await world().client.sendMany(stream, to(0, 10));
    await waitUntil(() => runs.contexts.length === 9, { what: 'all but the second of the held key have begun' });
    await waitUntil(async () => String(await world().cli(['HGET', keysOf(stream, { shards: 1 }).positions(0), '0'])).includes(sent[9]!.id), { what: 'what is done beyond is known' });
    expect(await failure(world().client.send(stream, { data: 1 }))).toBeInstanceOf(PartitionFullError);
    expect(await size(stream)).toBe(10);
    hold.open();
    await caughtUp(world(), stream, 1);
    expect(runs.contexts).toHaveLength(10);
  });

  it('committed messages are trimmed without anybody sending more', async () => {
    const stream = await world().stream(2);
    await world().consumer(stream, () => undefined);
    await world().client.sendMany(stream, [...to(0, 3_000), ...to(1, 3_000)]);
    await caughtUp(world(), stream, 2);
    // Whole nodes of the server's tree are cut, so up to one of them may stay.
    await waitUntil(async () => (await size(stream, 0)) < 200 && (await size(stream, 1)) < 200, { what: 'what was committed is gone' });
  });

  it('a group that reads with XREADGROUP keeps what is pending in it', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 10 } });
    const key = partitionKey(world(), stream, 0);
    await world().cli(['XGROUP', 'CREATE', key, 'foreign', '0', 'MKSTREAM'], key);
    const runs = new Runs();
    await world().consumer(stream, runs.handler());
    await world().client.sendMany(stream, to(0, 10));
    await caughtUp(world(), stream, 1);
    expect(await failure(world().client.send(stream, { data: 'nobody has read' }))).toBeInstanceOf(PartitionFullError);
    const read = (count: number) => world().cli(['XREADGROUP', 'GROUP', 'foreign', 'me', 'COUNT', count, 'STREAMS', key, '>'], key) as Promise<[[string, [string, Reply][]]]>;
    const ids = (await read(10))[0][1].map(([id]) => id);
    expect(ids).toHaveLength(10);
    expect(await failure(world().client.send(stream, { data: 'all is pending' }))).toBeInstanceOf(PartitionFullError);
    await world().cli(['XACK', key, 'foreign', ...ids.slice(0, 4), ids[6]!], key);
    await world().client.sendMany(stream, to(0, 4, 10));
    expect(await failure(world().client.send(stream, { data: 'the fifth is pending' }))).toBeInstanceOf(PartitionFullError);
    expect((await entriesOf(world(), stream, 0))[0]!.id).toBe(ids[4]);
    await caughtUp(world(), stream, 1);
    expect(runs.contexts).toHaveLength(14);
  });

  it('a group that begins later at the start finds all that was kept, and what nobody may trim', async () => {
    const stream = await world().stream({ partitions: 2, retention: { keepMs: 600_000 } });
    const [early, late] = [new Runs(), new Runs()];
    await world().consumer(stream, early.handler(), { group: 'early' });
    await world().client.sendMany(stream, messages(2_500, 50));
    await caughtUp(world(), stream, 2, { group: 'early' });
    await world().consumer(stream, late.handler(), { group: 'late' });
    await caughtUp(world(), stream, 2, { group: 'late' });
    expect(late.distinct).toBe(2_500);
  });

  it('keepMs keeps what is committed for that long, and no longer', async () => {
    const stream = await world().stream({ partitions: 1, retention: { keepMs: 1_500 } });
    await world().consumer(stream, () => undefined);
    const sentAt = performance.now();
    await world().client.sendMany(stream, to(0, 500));
    await caughtUp(world(), stream, 1);
    expect(await size(stream)).toBe(500);
    // While younger ones come in, and with them reasons to trim.
    let rest = 0;
    await waitUntil(async () => {
      if (performance.now() - sentAt < 1_400) expect(await size(stream)).toBeGreaterThanOrEqual(500);
      await world().client.send(stream, to(0, 1, 500 + rest++)[0]!);
      return (await size(stream)) < 500;
    }, { what: 'the old ones are trimmed', intervalMs: 100, timeoutMs: 10_000 });
    expect(performance.now() - sentAt).toBeGreaterThan(1_450);
  });

  it('keepMs is over in a partition that has fallen idle as well', async () => {
    const stream = await world().stream({ partitions: 2, retention: { keepMs: 1_500 } });
    const a = await world().consumer(stream, () => undefined);
    const sentAt = performance.now();
    await world().client.sendMany(stream, to(0, 3_000));
    await caughtUp(world(), stream, 1);
    expect(await size(stream)).toBe(3_000);
    await waitUntil(async () => (await size(stream)) < 200, { what: 'what was committed is gone', timeoutMs: 8_000 });
    expect(performance.now() - sentAt).toBeGreaterThan(1_450);
    // Kept for the next owner: it is the one who sees to it, and at rest nobody sees to anything.
    await world().client.sendMany(stream, to(1, 3_000));
    await caughtUp(world(), stream, 2);
    await a.stop();
    const b = await world().consumer(stream, () => undefined);
    await b.owns(2);
    expect(await size(stream, 1)).toBe(3_000);
    await waitUntil(async () => (await size(stream, 1)) < 200, { what: 'what was committed under the owner before is gone', timeoutMs: 8_000 });
    const trimmed = (await b.saw('partition.committed')).length;
    await b.saw('session.renewed', b.all('session.renewed').length + 6);
    expect(b.all('partition.committed').length - trimmed).toBeLessThanOrEqual(2);
  });

  it('keepMs is no reason to be full', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 10, keepMs: 600_000 } });
    await world().consumer(stream, () => undefined);
    await world().client.sendMany(stream, to(0, 10));
    await caughtUp(world(), stream, 1);
    await world().client.sendMany(stream, to(0, 10, 10));
    await caughtUp(world(), stream, 1);
    expect(await size(stream)).toBe(10);
  });

  it('maxEntries 1: one at a time gets through, in order', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 1 } });
    const runs = new Runs();
    await world().consumer(stream, runs.handler());
    for (let n = 0; n < 30; n++) {
      await waitUntil(() => world().client.send(stream, { key: 'k', data: n }), { what: `there is room for ${n}` });
      // Once it is handled, a heartbeat may trim it as well.
      expect(await size(stream)).toBeLessThanOrEqual(1);
    }
    await caughtUp(world(), stream, 1);
    expect(runs.data).toEqual(Array.from({ length: 30 }, (_, n) => n));
  });

  it('drop-oldest: drops the oldest unread, counts them, tells of them; the consumer goes on with what is left', async () => {
    const stream = await world().stream({ partitions: 2, retention: { maxEntries: 10, whenFull: 'drop-oldest' } });
    const hold = gate();
    const runs = new Runs();
    await world().consumer(stream, runs.handler(() => hold.opened), { prefetch: 2 });
    const engine = world().engine();
    const told: Array<{ partition: number; messages: number }> = [];
    engine.events.on('partition.dropped', (event) => told.push(event));
    const sent = await engine.partitions().sendMany(stream, to(0, 10));
    await waitUntil(() => runs.contexts.length === 1, { what: 'the first runs' });
    sent.push(...await engine.partitions().sendMany(stream, [...to(0, 20, 10), ...to(1, 3)]).then((all) => all.slice(0, 20)));
    expect((await entriesOf(world(), stream, 0)).map(({ id }) => id)).toEqual(sent.slice(20).map(({ id }) => id));
    expect(told).toEqual([{ stream, partition: 0, messages: 20 }]);
    expect(await world().cli(['HGETALL', keysOf(stream, { shards: Math.min(2, world().shards) }).dropped(0)])).toEqual(['0', '20']);
    hold.open();
    await caughtUp(world(), stream, 2, { shards: Math.min(2, world().shards) });
    // Two had been read before they were dropped, and their handlers have them.
    expect(runs.ofPartition(0).map(({ id }) => id)).toEqual([...sent.slice(0, 2), ...sent.slice(20)].map(({ id }) => id));
    expect(runs.ofPartition(1)).toHaveLength(3);
  });

  it('drop-oldest drops nothing while what is committed makes room', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 10, whenFull: 'drop-oldest' } });
    const runs = new Runs();
    const engine = world().engine();
    let dropped = 0;
    engine.events.on('partition.dropped', (event) => { dropped += event.messages; });
    await world().consumer(stream, runs.handler());
    for (let round = 0; round < 5; round++) {
      await engine.partitions().sendMany(stream, to(0, 10, round * 10));
      await caughtUp(world(), stream, 1);
    }
    expect(dropped).toBe(0);
    expect(runs.contexts).toHaveLength(50);
  });

  it('a batch larger than the partition: drop-oldest keeps its end', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 3, whenFull: 'drop-oldest' } });
    const sent = await world().client.sendMany(stream, to(0, 10));
    expect((await entriesOf(world(), stream, 0)).map(({ id }) => id)).toEqual(sent.slice(7).map(({ id }) => id));
  });

  it('messages are never trimmed unread, with slow groups, small bounds and producers that try again', async () => {
    const stream = await world().stream({ partitions: 2, retention: { maxEntries: 40 } });
    const groups = ['quick', 'slow', 'slower'].map((group) => ({ group, runs: new Runs() }));
    const pauseMs = { quick: 0, slow: 2, slower: 5 } as Record<string, number>;
    for (const { group, runs } of groups) {
      const body = () => (pauseMs[group] ? new Promise((resolve) => setTimeout(resolve, pauseMs[group])) : undefined);
      await (await world().consumer(stream, runs.handler(body), { group, prefetch: 16, concurrency: 4 })).owns(2);
    }
    const sent: SentMessage[] = [];
    let refused = 0;
    await Promise.all([0, 1].map(async (partition) => {
      for (let i = 0; i < 300; i += 20) {
        let batch = to(partition, 20, i);
        await waitUntil(async () => {
          const outcomes = await Promise.allSettled(batch.map((message) => world().client.send(stream, message)));
          for (const outcome of outcomes) if (outcome.status === 'fulfilled') sent.push(outcome.value);
          for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(PartitionFullError);
          batch = batch.filter((_, at) => outcomes[at]!.status === 'rejected');
          refused += batch.length;
          return batch.length === 0;
        }, { what: 'all are stored', timeoutMs: 20_000 });
      }
    }));
    const expected = sent.map(({ partition, id }) => `${partition}/${id}`).sort();
    expect(expected).toHaveLength(600);
    for (const { group, runs } of groups) {
      await caughtUp(world(), stream, 2, { group, shards: Math.min(2, world().shards) });
      expect([...new Set(runs.ids)].sort()).toEqual(expected);
      expect(runs.overlap).toBe(1);
    }
    expect(refused).toBeGreaterThan(0);
  });

  it('the sizes told are those of the partitions', async () => {
    const stream = await world().stream(3);
    await world().client.sendMany(stream, [...to(0, 4), ...to(2, 7)]);
    expect(await world().client.sizes(stream)).toEqual([4, 0, 7]);
    expect((await world().client.lag(ref(stream))).map(({ lag, position }) => [lag, position])).toEqual([[4, undefined], [0, undefined], [7, undefined]]);
  });
});
