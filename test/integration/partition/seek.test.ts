import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import type { Consumer } from './support/consumer.js';
import { FencedError, InvalidOptionsError, PartitionLostError, type PartitionContext, type Position, type SentMessage } from './support/engine.js';
import { failure } from '../support/failure.js';
import { gate, messages, Runs, untilAborted } from './support/handlers.js';
import { caughtUp, groupRow } from './support/keys.js';
import { startLoad } from './support/load.js';
import { isAfter, shown } from './support/positions.js';
import { BOTH, onTopologies } from './support/world.js';

const KEEP = { retention: { keepMs: 600_000 } };

onTopologies(BOTH, 'seek', (world) => {
  const ref = (stream: string) => ({ stream, group: 'group' });
  /** The clock has moved on, so that what is sent next has a later moment. */
  async function tick(sent: readonly SentMessage[]): Promise<void> {
    const latest = Math.max(...sent.map(({ id }) => Number(id.split('-')[0])));
    await waitUntil(async () => Number(((await world().cli(['TIME'], 'x')) as string[])[0]) * 1_000 + 999 > latest && Date.now() > latest + 2, { what: 'the clock has moved on' });
  }

  /** Its owner has heard of the seek, and goes on. Until then it may still hand over what comes in. */
  async function told(consumer: Consumer, partitions: number): Promise<void> {
    await consumer.saw('partition.lost', partitions);
    await consumer.owns(partitions);
  }

  async function twoHalves(stream: string): Promise<{ first: SentMessage[]; second: SentMessage[] }> {
    const first = await world().client.sendMany(stream, messages(30, 10));
    await tick(first);
    return { first, second: await world().client.sendMany(stream, messages(30, 10, 30)) };
  }

  const places: Array<[string, (second: SentMessage[]) => Position, number]> = [
    ['earliest', () => 'earliest', 60],
    ['latest', () => 'latest', 0],
    ['a Date', (second) => new Date(Math.min(...second.map(({ id }) => Number(id.split('-')[0])))), 30],
    ['an id that names a moment', (second) => String(Math.min(...second.map(({ id }) => Number(id.split('-')[0])))), 30],
    ['a Date long ago', () => new Date(1), 60],
  ];

  it.each(places)('to %s while nobody runs: the next consumer goes on from there', async (_, where, expected) => {
    const stream = await world().stream({ partitions: 3, ...KEEP });
    const early = new Runs();
    const a = await world().consumer(stream, early.handler());
    const { second } = await twoHalves(stream);
    await caughtUp(world(), stream, 3);
    await a.stop();
    await world().client.seek(ref(stream), where(second));
    expect((await world().client.lag(ref(stream))).reduce((sum, { lag }) => sum + lag, 0)).toBe(expected);
    const late = new Runs();
    await world().consumer(stream, late.handler());
    await world().client.sendMany(stream, messages(5, 5, 60));
    await caughtUp(world(), stream, 3);
    expect(late.contexts).toHaveLength(expected + 5);
    expect(late.distinct).toBe(expected + 5);
    expect(early.contexts).toHaveLength(60);
  });

  it.each(places)('to %s while a consumer runs: it goes on from there by itself', async (_, where, expected) => {
    const stream = await world().stream({ partitions: 3, ...KEEP });
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    const { second } = await twoHalves(stream);
    await caughtUp(world(), stream, 3);
    const session = a.session;
    await world().client.seek(ref(stream), where(second));
    await waitUntil(() => runs.contexts.length >= 60 + expected, { what: 'they have run again' });
    await told(a, 3);
    await world().client.sendMany(stream, messages(5, 5, 60));
    await caughtUp(world(), stream, 3);
    expect(runs.contexts).toHaveLength(60 + expected + 5);
    expect(runs.overlap).toBe(1);
    expect(a.session).toBe(session);
  });

  it('to an entry: that one is the next, in its partition only', async () => {
    const stream = await world().stream({ partitions: 3, ...KEEP });
    const runs = new Runs();
    await world().consumer(stream, runs.handler());
    const sent = (await world().client.sendMany(stream, messages(60, 20))).filter(({ partition }) => partition === 1);
    await caughtUp(world(), stream, 3);
    const at = Math.floor(sent.length / 2);
    await world().client.seek(ref(stream), sent[at]!.id, [1]);
    await waitUntil(() => runs.contexts.length === 60 + sent.length - at, { what: 'they have run again' });
    await caughtUp(world(), stream, 3);
    expect(runs.contexts.slice(60).map(({ partition, id }) => [partition, id])).toEqual(sent.slice(at).map(({ id }) => [1, id]));
  });

  it('a group that has never run begins where it was sought to, not at startFrom', async () => {
    const stream = await world().stream({ partitions: 2, ...KEEP });
    const { second } = await twoHalves(stream);
    await world().client.seek(ref(stream), new Date(Math.min(...second.map(({ id }) => Number(id.split('-')[0])))));
    const runs = new Runs();
    await world().consumer(stream, runs.handler(), { startFrom: 'earliest' });
    await caughtUp(world(), stream, 2);
    expect(runs.ids.sort()).toEqual(second.map(({ partition, id }) => `${partition}/${id}`).sort());
  });

  it('of no partition moves none: an empty list is not all', async () => {
    const stream = await world().stream(2);
    await world().client.sendMany(stream, messages(10, 10));
    await world().client.seek(ref(stream), 'earliest');
    await world().client.seek(ref(stream), 'latest', []);
    expect((await world().client.lag(ref(stream))).reduce((sum, { lag }) => sum + lag, 0)).toBe(10);
  });

  it('of a stream without a message: all that come are handled', async () => {
    const stream = await world().stream(3);
    await world().client.seek(ref(stream), 'latest');
    await world().client.seek(ref(stream), 'earliest', [0]);
    await world().client.seek(ref(stream), '5-5', [1]);
    const runs = new Runs();
    const sent = await world().client.sendMany(stream, messages(30, 10));
    await world().consumer(stream, runs.handler());
    await caughtUp(world(), stream, 3);
    expect(runs.distinct).toBe(sent.length);
  });

  it('earliest is the oldest that is kept', async () => {
    const stream = await world().stream({ partitions: 1, retention: { maxEntries: 20 } });
    const runs = new Runs();
    await world().consumer(stream, runs.handler());
    for (let i = 0; i < 3; i++) {
      await world().client.sendMany(stream, messages(20, 5, i * 20));
      await caughtUp(world(), stream, 1);
    }
    const kept = (await shown(world(), stream, 0)).length;
    await world().client.seek(ref(stream), 'earliest');
    await waitUntil(() => runs.contexts.length === 60 + kept, { what: 'what is kept has run again' });
    await caughtUp(world(), stream, 1);
    expect(await groupRow(world(), stream, 0)).toMatchObject({ entriesRead: 60, lag: 0 });
  });

  it('handlers that run are aborted and told why; what they then say moves nothing back', async () => {
    const stream = await world().stream({ partitions: 2, ...KEEP });
    const hold = gate();
    const first: PartitionContext[] = [];
    const acks: unknown[] = [];
    const reasons: unknown[] = [];
    const again = new Runs();
    const handler = again.handler();
    const a = await world().consumer(stream, async (data, context) => {
      if (first.length >= 4) return handler(data, context);
      first.push(context);
      context.signal.addEventListener('abort', () => reasons.push(context.signal.reason));
      // Deaf to the signal: it goes on, and then claims to have done it.
      await hold.opened;
      acks.push(await context.ack().then(() => 'acknowledged', (error: unknown) => error));
    }, { concurrency: 2 });
    await a.owns(2);
    const sent = await world().client.sendMany(stream, Array.from({ length: 20 }, (_, i) => ({ key: `k${i}`, data: i, partition: i % 2 })));
    await waitUntil(() => first.length === 4, { what: 'four run' });
    await world().client.seek(ref(stream), 'latest');
    await waitUntil(() => reasons.length === 4, { what: 'all four are aborted' });
    for (const reason of reasons) {
      expect(reason).toBeInstanceOf(PartitionLostError);
      expect(reason).toMatchObject({ reason: 'fenced', stream });
    }
    hold.open();
    await waitUntil(() => acks.length === 4, { what: 'all four have tried to acknowledge' });
    for (const outcome of acks) expect(outcome).toBeInstanceOf(FencedError);
    await told(a, 2);
    const after = await world().client.sendMany(stream, [{ partition: 0, data: 'after' }, { partition: 1, data: 'after' }]);
    await caughtUp(world(), stream, 2);
    expect(again.ids.sort()).toEqual(after.map(({ partition, id }) => `${partition}/${id}`).sort());
    expect(sent).toHaveLength(20);
    await a.saw('partition.lost', 2);
  });

  it('backwards while handlers run: they run again, under a higher token, and never two of a key at once', async () => {
    const stream = await world().stream({ partitions: 1, ...KEEP });
    const runs = new Runs();
    let held = true;
    const a = await world().consumer(stream, runs.handler(async (context, n) => {
      // Deaf for a moment after the abort, as handlers are.
      if (held && context.data === 'm7' && n === 1) await untilAborted(context).catch(() => new Promise((resolve) => setTimeout(resolve, 150)));
    }));
    await world().client.sendMany(stream, messages(10, 2));
    await waitUntil(() => runs.data.at(-1) === 'm7', { what: 'the eighth runs' });
    held = false;
    await world().client.seek(ref(stream), 'earliest');
    await caughtUp(world(), stream, 1);
    expect(runs.data).toEqual([...messages(8), ...messages(10)].map(({ data }) => data));
    expect(runs.overlap).toBe(1);
    const tokens = runs.contexts.map(({ fencingToken }) => fencingToken);
    expect(Math.min(...tokens.slice(8))).toBeGreaterThan(Math.max(...tokens.slice(0, 8)));
    expect(a.all('session.lost')).toEqual([]);
  });

  it('again and again under load: positions never go back behind the last seek, and everything after it is handled', async () => {
    const stream = await world().stream({ partitions: 2, ...KEEP });
    const runs = new Runs();
    await world().consumer(stream, runs.handler(() => new Promise((resolve) => setImmediate(resolve))), { concurrency: 4 });
    const load = startLoad(world(), world().client, stream, { keys: 8, everyMs: 10 });
    for (let i = 0; i < 6; i++) {
      await world().client.seek(ref(stream), 'latest');
      const at = await Promise.all([0, 1].map(async (partition) => (await shown(world(), stream, partition)).position));
      for (let look = 0; look < 5; look++) {
        for (const partition of [0, 1]) expect(isAfter(at[partition]!, (await shown(world(), stream, partition)).position)).toBe(false);
      }
    }
    await load.stop();
    const before = runs.contexts.length;
    await world().client.seek(ref(stream), 'earliest');
    await caughtUp(world(), stream, 2);
    expect(new Set(runs.contexts.slice(before).map(({ partition, id }) => `${partition}/${id}`)).size).toBe(load.sent.length);
    expect(runs.overlap).toBe(1);
  });

  it('forgets failures, what was done beyond, and delays: every message after it has its full attempts', async () => {
    const stream = await world().stream({ partitions: 1, ...KEEP });
    const runs = new Runs();
    let broken = true;
    const a = await world().consumer(stream, runs.handler(({ data }) => {
      if (broken && data === 'm0') throw new Error('not yet');
    }), { concurrency: 3, retry: { initialMs: 60_000, maxMs: 60_000 } });
    await world().client.sendMany(stream, messages(6, 3));
    await a.saw('partition.retried');
    await waitUntil(() => runs.contexts.length === 5, { what: 'all but the key that waits have run' });
    broken = false;
    await world().client.seek(ref(stream), 'earliest');
    await caughtUp(world(), stream, 1);
    expect(runs.contexts.slice(5).map(({ data, attempt }) => `${String(data)} ${attempt}`).sort()).toEqual(messages(6).map(({ data }) => `${data} 1`));
  });

  it.each<[string, unknown, readonly number[] | undefined]>([
    ['a word', 'beginning', undefined], ['an invalid Date', new Date(NaN), undefined], ['a number', 5, undefined], ['an id with more', '1-1-1', undefined],
    ['a partition out of range', 'earliest', [3]], ['half a partition', 'earliest', [0.5]], ['a negative partition', 'latest', [0, -1]],
  ])('refuses %s and moves nothing', async (_, position, partitions) => {
    const stream = await world().stream({ partitions: 3, ...KEEP });
    const runs = new Runs();
    await world().consumer(stream, runs.handler());
    await world().client.sendMany(stream, messages(30, 10));
    await caughtUp(world(), stream, 3);
    expect(await failure(world().client.seek(ref(stream), position as Position, partitions))).toBeInstanceOf(InvalidOptionsError);
    await world().client.sendMany(stream, messages(3, 3, 30));
    await caughtUp(world(), stream, 3);
    expect(runs.contexts).toHaveLength(33);
  });

  it.each<[string, () => Position]>([
    ['a moment', () => new Date(Date.now() + 3_600_000)], ['an id', () => `${Date.now() + 3_600_000}-7`],
  ])('to %s to come means the end: what is sent from then on is handled, and counted', async (_, where) => {
    const stream = await world().stream({ partitions: 1, ...KEEP });
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    const sent = await world().client.sendMany(stream, messages(5));
    await caughtUp(world(), stream, 1);
    await world().client.seek(ref(stream), where());
    await told(a, 1);
    expect(await groupRow(world(), stream, 0)).toMatchObject({ lastDeliveredId: sent.at(-1)!.id, entriesRead: 5, lag: 0 });
    await world().client.sendMany(stream, messages(5, 1, 5));
    await caughtUp(world(), stream, 1);
    expect(runs.data).toEqual(messages(10).map(({ data }) => data));
    expect(await groupRow(world(), stream, 0)).toMatchObject({ entriesRead: 10, lag: 0 });
  });

  it('one group\'s seek is no other group\'s', async () => {
    const stream = await world().stream({ partitions: 2, ...KEEP });
    const [a, b] = [new Runs(), new Runs()];
    await world().consumer(stream, a.handler(), { group: 'a' });
    const other = await world().consumer(stream, b.handler(), { group: 'b' });
    await world().client.sendMany(stream, messages(20, 10));
    await caughtUp(world(), stream, 2, { group: 'a' });
    await caughtUp(world(), stream, 2, { group: 'b' });
    await world().client.seek({ stream, group: 'a' }, 'earliest');
    await waitUntil(() => a.contexts.length === 40, { what: 'the one has run again' });
    await caughtUp(world(), stream, 2, { group: 'a' });
    expect(b.contexts).toHaveLength(20);
    expect(other.all('partition.lost')).toEqual([]);
  });
});
