import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { InvalidOptionsError } from './support/engine.js';
import { failure } from '../support/failure.js';
import { gate, messages, Runs } from './support/handlers.js';
import { caughtUp, keysOf } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'pause', (world) => {
  const ref = (stream: string, group = 'group') => ({ stream, group });
  const sendTo = (stream: string, partition: number, count: number, from = 0) =>
    world().client.sendMany(stream, messages(count, 5, from).map(({ key, data }) => ({ key: `${key}/${partition}`, data, partition })));
  const lags = async (stream: string) => (await world().client.lag(ref(stream))).map(({ lag }) => lag);

  /** Everything every consumer was told has arrived: another pair of heartbeats has passed without a run. */
  async function quiet(consumers: ReadonlyArray<Awaited<ReturnType<ReturnType<typeof world>['consumer']>>>, runs: Runs): Promise<void> {
    const before = runs.contexts.length;
    for (const consumer of consumers) await consumer.saw('session.renewed', consumer.all('session.renewed').length + 2);
    expect(runs.contexts.length).toBe(before);
  }

  it('of all: every consumer of the group stops, what runs ends and is committed, resume goes on', async () => {
    const stream = await world().stream(4);
    const hold = gate();
    const runs = new Runs();
    const handler = runs.handler(() => hold.opened);
    const consumers = [await world().consumer(stream, handler), await world().consumer(stream, handler)];
    await Promise.all(consumers.map((consumer) => consumer.owns(2)));
    for (let partition = 0; partition < 4; partition++) await sendTo(stream, partition, 10);
    await waitUntil(() => runs.contexts.length === 4, { what: 'one of each partition runs' });
    await world().client.pause(ref(stream));
    await Promise.all(consumers.map((consumer) => consumer.saw('partition.paused')));
    expect(consumers.map((consumer) => consumer.all('partition.paused')[0]!.partitions)).toEqual(['all', 'all']);
    hold.open();
    await waitUntil(async () => (await lags(stream)).every((lag) => lag === 9), { what: 'what ran is committed' });
    for (let partition = 0; partition < 4; partition++) await sendTo(stream, partition, 5, 10);
    await quiet(consumers, runs);
    expect(runs.contexts).toHaveLength(4);
    expect(runs.contexts.every(({ signal }) => !signal.aborted)).toBe(true);
    expect((await world().client.assignment(ref(stream))).paused).toBe('all');
    expect(await lags(stream)).toEqual([14, 14, 14, 14]);
    await world().client.resume(ref(stream));
    await caughtUp(world(), stream, 4);
    expect(runs.contexts).toHaveLength(60);
    expect((await world().client.assignment(ref(stream))).paused).toEqual([]);
    for (const consumer of consumers) expect(consumer.all('partition.lost')).toEqual([]);
  });

  it('of single partitions: the others go on', async () => {
    const stream = await world().stream(4);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    await a.owns(4);
    await world().client.pause(ref(stream), [1, 3]);
    expect((await a.saw('partition.paused'))[0]!.partitions).toEqual([1, 3]);
    for (let partition = 0; partition < 4; partition++) await sendTo(stream, partition, 10);
    await waitUntil(async () => (await lags(stream)).join() === '0,10,0,10', { what: 'the others are handled' });
    await quiet([a], runs);
    await world().client.pause(ref(stream), [0]);
    expect((await world().client.assignment(ref(stream))).paused).toEqual([0, 1, 3]);
    await world().client.resume(ref(stream), [3, 0]);
    await waitUntil(async () => (await lags(stream)).join() === '0,10,0,0', { what: 'the third is handled' });
    expect((await world().client.assignment(ref(stream))).paused).toEqual([1]);
    await world().client.resume(ref(stream));
    await caughtUp(world(), stream, 4);
    expect(runs.contexts).toHaveLength(40);
  });

  it('survives restarts, takeovers and rebalances', async () => {
    const stream = await world().stream(4);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    await a.owns(4);
    await world().client.pause(ref(stream), [0, 1]);
    await a.saw('partition.paused');
    await a.stop();
    await Promise.all([0, 1, 2, 3].map((partition) => sendTo(stream, partition, 5)));
    const b = await world().consumer(stream, runs.handler());
    await waitUntil(async () => (await lags(stream)).join() === '5,5,0,0', { what: 'the others are handled' });
    const c = await world().consumer(stream, runs.handler());
    await Promise.all([b.owns(2), c.owns(2)]);
    await quiet([b, c], runs);
    await world().cli(['ZADD', keysOf(stream).sessions, 1, b.session!]);
    await b.saw('session.lost');
    await Promise.all([b.owns(2), c.owns(2)]);
    await quiet([b, c], runs);
    expect(await lags(stream)).toEqual([5, 5, 0, 0]);
    await world().client.resume(ref(stream));
    await caughtUp(world(), stream, 4);
    expect(runs.distinct).toBe(20);
  });

  it('before anybody consumes: nothing is handled until resume', async () => {
    const stream = await world().stream(2);
    await world().client.pause(ref(stream));
    await world().client.sendMany(stream, messages(10, 5));
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    await a.owns(2);
    await quiet([a], runs);
    expect(runs.contexts).toHaveLength(0);
    await world().client.resume(ref(stream));
    await caughtUp(world(), stream, 2);
    expect(runs.contexts).toHaveLength(10);
  });

  it('single ones cannot be taken out of a pause of all, and it says so', async () => {
    const stream = await world().stream(2);
    await world().client.pause(ref(stream), [0]);
    await world().client.pause(ref(stream));
    const error = await failure(world().client.resume(ref(stream), [1]));
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect(error.message).toMatch(/whole group is paused/);
    expect((await world().client.assignment(ref(stream))).paused).toBe('all');
    for (const partitions of [[2], [-1], [0.5], [NaN]]) {
      expect(await failure(world().client.pause(ref(stream), partitions))).toBeInstanceOf(InvalidOptionsError);
      expect(await failure(world().client.resume(ref(stream), partitions))).toBeInstanceOf(InvalidOptionsError);
    }
    await world().client.resume(ref(stream));
    expect((await world().client.assignment(ref(stream))).paused).toEqual([]);
  });

  it('of no partition is none, and neither is the end of one: an empty list is not all', async () => {
    const stream = await world().stream(2);
    await world().client.pause(ref(stream), []);
    expect((await world().client.assignment(ref(stream))).paused).toEqual([]);
    await world().client.pause(ref(stream));
    await world().client.resume(ref(stream), []);
    expect((await world().client.assignment(ref(stream))).paused).toBe('all');
    for (const partitions of [3, '3', {}, null]) {
      const error = await failure(world().client.pause(ref(stream), partitions as never));
      expect(error).toBeInstanceOf(InvalidOptionsError);
      expect(error.message).toMatch(/partitions: must be an array/);
    }
  });

  it('of one group is no pause of another', async () => {
    const stream = await world().stream(2);
    const [paused, other] = [new Runs(), new Runs()];
    const stopped = await world().consumer(stream, paused.handler(), { group: 'paused' });
    const going = await world().consumer(stream, other.handler(), { group: 'other' });
    await Promise.all([stopped.owns(2), going.owns(2)]);
    await world().client.pause(ref(stream, 'paused'));
    await stopped.saw('partition.paused');
    await world().client.sendMany(stream, messages(10, 5));
    await caughtUp(world(), stream, 2, { group: 'other' });
    expect(other.contexts).toHaveLength(10);
    await quiet([stopped], paused);
    expect(paused.contexts).toHaveLength(0);
    await world().client.resume(ref(stream, 'paused'));
    await caughtUp(world(), stream, 2, { group: 'paused' });
    expect(paused.contexts).toHaveLength(10);
  });

  it('a retry that comes due in a pause waits for its end', async () => {
    const stream = await world().stream(1);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler((_, n) => { if (n === 1) throw new Error('once'); }), { retry: { initialMs: 300, jitter: 0 } });
    await a.owns(1);
    await world().client.send(stream, { key: 'k', data: 1 });
    await a.saw('partition.retried');
    await world().client.pause(ref(stream));
    await a.saw('partition.paused');
    await quiet([a], runs);
    expect(runs.contexts).toHaveLength(1);
    await world().client.resume(ref(stream));
    await caughtUp(world(), stream, 1);
    expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  it('a paused partition is handed over as any other, and does not hold up a stop', async () => {
    const stream = await world().stream(2);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(), { engine: { shutdown: { drainMs: 10_000 } } });
    await a.owns(2);
    await world().client.pause(ref(stream));
    await a.saw('partition.paused');
    await world().client.sendMany(stream, messages(10, 5));
    const from = performance.now();
    await a.stop();
    expect(performance.now() - from).toBeLessThan(2_000);
    const b = await world().consumer(stream, runs.handler());
    await b.owns(2);
    await world().client.resume(ref(stream));
    await caughtUp(world(), stream, 2);
    expect(runs.contexts).toHaveLength(10);
  });

  it('a seek in a pause takes effect at its end', async () => {
    const stream = await world().stream({ partitions: 2, retention: { keepMs: 600_000 } });
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    await world().client.sendMany(stream, messages(10, 5));
    await caughtUp(world(), stream, 2);
    await world().client.pause(ref(stream));
    await a.saw('partition.paused');
    await world().client.seek(ref(stream), 'earliest');
    await a.saw('partition.lost', 2);
    await a.owns(2);
    await quiet([a], runs);
    await world().client.resume(ref(stream));
    await caughtUp(world(), stream, 2);
    expect(runs.contexts).toHaveLength(20);
  });

  it('on and off quickly, under load: nothing is lost, nothing runs twice', async () => {
    const stream = await world().stream(3);
    const runs = new Runs();
    await world().consumer(stream, runs.handler(), { concurrency: 3, prefetch: 16 });
    const sending = (async () => {
      for (let i = 0; i < 20; i++) await world().client.sendMany(stream, messages(25, 9, i * 25));
    })();
    for (let i = 0; i < 15; i++) {
      const some = i % 3 === 0 ? [] : [i % 3];
      await world().client.pause(ref(stream), some);
      await world().client.resume(ref(stream), some);
    }
    await sending;
    await caughtUp(world(), stream, 3);
    expect(runs.contexts).toHaveLength(500);
    expect(runs.distinct).toBe(500);
  });
});
