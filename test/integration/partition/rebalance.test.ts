import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import type { Consumer } from './support/consumer.js';
import { type PartitionContext, PartitionLostError } from './support/engine.js';
import { gate, messages, Runs, untilAborted } from './support/handlers.js';
import { caughtUp } from './support/keys.js';
import { BOTH, onTopologies, type World } from './support/world.js';

const patient = { session: { ttlMs: 10_000 }, shutdown: { drainMs: 3_000 } };

async function settled(world: World, stream: string, members: number): Promise<void> {
  await waitUntil(async () => {
    const { settled: done, members: list } = await world.client.assignment({ stream, group: 'group' });
    return done && list.length === members;
  }, { what: `${members} members have settled` });
}

const tokens = (consumer: Consumer): Map<number, number> => new Map(consumer.inner.owned().map(({ partition, fencingToken }) => [partition, fencingToken]));

/** When each owner handled something of a partition. */
class Intervals {
  readonly list: Array<{ partition: number; by: string; token: number; from: number; to: number }> = [];

  handler(by: string, ms: number) {
    return async (_: unknown, { partition, fencingToken: token }: PartitionContext): Promise<void> => {
      const interval = { partition, by, token, from: performance.now(), to: Infinity };
      this.list.push(interval);
      await sleep(ms);
      interval.to = performance.now();
    };
  }

  /** Pairs of intervals of one partition and different owners that share a moment. */
  get overlaps(): number {
    return this.list.filter((a) => this.list.some((b) => a.partition === b.partition && a.token < b.token && a.to > b.from)).length;
  }
}

onTopologies(BOTH, 'rebalance', (world) => {
  it('a member that joins gets exactly its share, and what stays is not touched', async () => {
    const stream = await world().stream(12);
    const a = await world().consumer(stream, () => undefined, { engine: patient });
    await a.owns(12);
    const b = await world().consumer(stream, () => undefined, { engine: patient });
    await Promise.all([a.owns(6), b.owns(6)]);
    await settled(world(), stream, 2);
    const before = new Map([...tokens(a), ...tokens(b)]);
    const c = await world().consumer(stream, () => undefined, { engine: patient });
    await Promise.all([a, b, c].map((consumer) => consumer.owns(4)));
    await settled(world(), stream, 3);
    expect([...a.owned, ...b.owned, ...c.owned].sort((x, y) => x - y)).toEqual([...Array(12).keys()]);
    for (const consumer of [a, b]) for (const [partition, token] of tokens(consumer)) expect(token).toBe(before.get(partition));
    for (const [partition, token] of tokens(c)) expect(token).toBeGreaterThan(before.get(partition)!);
    expect(a.all('partition.revoked').map(({ partition }) => partition)).toHaveLength(8);
    expect(b.all('partition.revoked').map(({ partition }) => partition).sort()).toEqual(c.owned.filter((partition) => !a.all('partition.revoked').slice(6).some((event) => event.partition === partition)).sort());
    expect([...a.all('partition.lost'), ...b.all('partition.lost'), ...c.all('partition.lost')]).toEqual([]);
    // One plan per change of the roster, and no move that need not be.
    const planned = [a, b, c].flatMap((consumer) => consumer.all('partition.planned')).sort((x, y) => x.generation - y.generation);
    expect(planned.map(({ members, moved }) => [members, moved])).toEqual([[1, 0], [2, 6], [3, 4]]);
    // And back again.
    await b.stop();
    await Promise.all([a, c].map((consumer) => consumer.owns(6)));
    expect([...a.owned, ...c.owned].sort((x, y) => x - y)).toEqual([...Array(12).keys()]);
  });

  it('shares what cannot be divided as evenly as it goes, and more members than partitions wait', async () => {
    const stream = await world().stream(10);
    const consumers = await Promise.all([1, 2, 3].map(() => world().consumer(stream, () => undefined, { engine: patient })));
    await settled(world(), stream, 3);
    await waitUntil(() => consumers.flatMap(({ owned }) => owned).length === 10, { what: 'all are taken up' });
    expect(consumers.map(({ owned }) => owned.length).sort()).toEqual([3, 3, 4]);
  });

  it('partitions that stay go on without a pause while one that moves waits for its handler', async () => {
    const stream = await world().stream(6);
    const finish = gate();
    const at = new Map<number, number[]>();
    const held = new Set<number>();
    const a = await world().consumer(stream, async (data, { partition }) => {
      at.set(partition, [...(at.get(partition) ?? []), performance.now()]);
      if (data !== 'hold') return;
      held.add(partition);
      await finish.opened;
    }, { engine: patient });
    await a.owns(6);
    // One of these will have to move; all of them are busy with a long one on another key.
    let sending = true;
    world().onEnd(() => { sending = false; });
    const load = (async () => {
      for (let n = 0; sending; n++) {
        await world().client.sendMany(stream, [0, 1, 2, 3, 4, 5].map((partition) => ({ partition, key: 'k', data: n })));
        await sleep(10);
      }
    })();
    load.catch(() => undefined);
    const b = await world().consumer(stream, (_, { partition }) => void at.set(partition, [...(at.get(partition) ?? []), performance.now()]), { engine: patient });
    await Promise.all([a.owns(3), b.owns(3)]);
    await settled(world(), stream, 2);
    await world().client.sendMany(stream, a.owned.map((partition) => ({ partition, key: 'h', data: 'hold' })));
    await waitUntil(() => held.size === 3, { what: 'all of a are held' });
    const from = performance.now();
    const stays = b.owned;
    const c = await world().consumer(stream, () => undefined, { engine: patient });
    const goneFromB = (): number[] => stays.filter((partition) => !b.owned.includes(partition));
    await waitUntil(() => goneFromB().length === 1, { what: 'b gave one' });
    // a's one cannot move yet. 700 ms of that.
    await waitUntil(() => performance.now() - from > 700, { what: 'some time has passed', timeoutMs: 2_000 });
    expect(c.owned).toEqual(goneFromB());
    const until = performance.now();
    for (const partition of b.owned) {
      const times = [from, ...at.get(partition)!.filter((time) => time > from && time < until), until];
      const gaps = times.slice(1).map((time, i) => time - times[i]!);
      expect(Math.max(...gaps), `partition ${partition}`).toBeLessThan(400);
    }
    finish.open();
    await c.owns(2);
    sending = false;
    await load;
  });

  it('a partition whose handlers are idle pauses for a moment only, at a join and at a stop', async () => {
    const stream = await world().stream(6);
    const stay = await world().consumer(stream, () => undefined, { engine: patient });
    await stay.owns(6);
    const pauses: number[] = [];
    // Who owned a partition last, until when; and who has it next, from when.
    const until = new Map<number, number>();
    const watch = (consumer: Consumer): void => {
      consumer.engine.events.on('partition.revoked', ({ partition, drainMs }) => until.set(partition, performance.now() - drainMs));
    };
    const took = ({ partitions }: { partitions: ReadonlyArray<{ partition: number }> }): void => {
      for (const { partition } of partitions) if (until.has(partition)) pauses.push(performance.now() - until.get(partition)!);
    };
    watch(stay);
    for (let i = 0; i < 5; i++) {
      const engine = world().engine(patient);
      const joiner = engine.addPartitionConsumer({ stream, group: 'group' }, { message: () => undefined, assigned: took });
      engine.events.on('partition.revoked', ({ partition, drainMs }) => until.set(partition, performance.now() - drainMs));
      await engine.start();
      await stay.owns(3);
      await waitUntil(() => joiner.owned().length === 3, { what: 'the joiner has its share' });
      const before = stay.all('partition.assigned').length;
      const off = stay.engine.events.on('partition.assigned', ({ partition }) => took({ partitions: [{ partition }] }));
      await engine.stop();
      await stay.saw('partition.assigned', before + 3);
      await stay.owns(6);
      off();
    }
    expect(pauses).toHaveLength(30);
    pauses.sort((x, y) => x - y);
    // The machine has its moments; half of them say what is the rule. A heartbeat would be 3,333.
    expect(pauses[15]).toBeLessThan(500);
    expect(pauses.at(-1)).toBeLessThan(2_500);
  });

  it('each partition moves as soon as it can, whatever the slowest handler among those that move does', async () => {
    const stream = await world().stream(4);
    const finish = gate();
    const a = await world().consumer(stream, (data) => (data === 'hold' ? finish.opened : undefined), { engine: { ...patient, shutdown: { drainMs: 10_000 } } });
    await a.owns(4);
    // With a name that sorts first or last, either two or the others move: hold one of each half.
    await world().client.sendMany(stream, [0, 3].map((partition) => ({ partition, data: 'hold' })));
    await a.saw('partition.assigned', 4);
    const b = await world().consumer(stream, () => undefined, { engine: patient });
    const startedAt = performance.now();
    await b.owns(1, 8_000);
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    finish.open();
    await b.owns(2);
  });

  it('waits for what runs, commits it and runs nothing twice', async () => {
    const stream = await world().stream(4);
    const runs = new Runs();
    const body = (): Promise<void> => sleep(60);
    const handlers = runs.handler(body);
    const sent = messages(160, 16);
    const consumers = [await world().consumer(stream, handlers, { concurrency: 2, engine: patient })];
    await world().client.sendMany(stream, sent);
    await waitUntil(() => runs.contexts.length > 8, { what: 'it works' });
    consumers.push(await world().consumer(stream, handlers, { concurrency: 2, engine: patient }));
    await consumers[1]!.owns(2);
    await waitUntil(() => runs.contexts.length > 60, { what: 'both work' });
    await consumers[0]!.stop();
    consumers.push(await world().consumer(stream, handlers, { concurrency: 2, engine: patient }));
    await consumers[2]!.owns(2);
    await caughtUp(world(), stream, 4, { timeoutMs: 20_000 });
    expect(runs.contexts).toHaveLength(160);
    expect(runs.distinct).toBe(160);
    expect(runs.overlap).toBe(1);
    expect(runs.contexts.every(({ attempt, signal }) => attempt === 1 && !signal.aborted)).toBe(true);
    for (let k = 0; k < 16; k++) {
      const numbers = runs.ofKey(`k${k}`).map(({ data }) => Number(String(data).slice(1)));
      expect(numbers).toEqual(Array.from({ length: 10 }, (_, i) => k + 16 * i));
    }
    expect(consumers.flatMap((consumer) => consumer.errors)).toEqual([]);
  });

  it('does not wait longer than drainMs: the signal aborts, the partition moves, nothing is counted', async () => {
    const stream = await world().stream(2);
    const contexts: PartitionContext[] = [];
    const a = await world().consumer(stream, (_, context) => {
      contexts.push(context);
      return context.key === 'listens' ? untilAborted(context) : new Promise(() => undefined);
    }, { concurrency: 2, engine: { ...patient, shutdown: { drainMs: 400 } } });
    await a.owns(2);
    await world().client.sendMany(stream, [0, 1].flatMap((partition) => ['listens', 'does not'].map((key) => ({ partition, key, data: 1 }))));
    await waitUntil(() => contexts.length === 4, { what: 'all run' });
    const startedAt = performance.now();
    const runs = new Runs();
    const b = await world().consumer(stream, runs.handler(), { engine: patient });
    const [moved] = await b.owns(1);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(398);
    expect(performance.now() - startedAt).toBeLessThan(2_500);
    await waitUntil(() => runs.contexts.length === 2, { what: 'they run with the new owner' });
    expect(runs.contexts.map(({ attempt }) => attempt)).toEqual([1, 1]);
    for (const context of contexts) {
      if (context.partition === moved) {
        expect(context.signal.reason).toBeInstanceOf(PartitionLostError);
        expect(context.signal.reason).toMatchObject({ reason: 'rebalance', partition: moved, stream });
        await expect(context.ack()).rejects.toMatchObject({ code: 'FENCED' });
      } else {
        expect(context.signal.aborted).toBe(false);
      }
    }
    expect(a.all('partition.revoked')).toMatchObject([{ partition: moved, reason: 'rebalance' }]);
    expect(a.all('partition.revoked')[0]!.drainMs).toBeGreaterThanOrEqual(398);
  });

  it('two live owners of a partition never overlap, and each effect happens once, however members come and go', async () => {
    const stream = await world().stream(8);
    const intervals = new Intervals();
    let sending = true;
    let sent = 0;
    world().onEnd(() => { sending = false; });
    const load = (async () => {
      while (sending) {
        await world().client.sendMany(stream, messages(16, 16, sent));
        sent += 16;
        await sleep(10);
      }
    })();
    load.catch(() => undefined);
    const start = (i: number): Promise<Consumer> => world().consumer(stream, intervals.handler(`c${i}`, 3), { concurrency: 4, engine: patient });
    const members = [await start(0), await start(1)];
    for (let i = 2; i < 8; i++) {
      members.push(await start(i));
      if (i % 2 === 1) await settled(world(), stream, members.length);
      const [leaver] = members.splice((i * 7) % members.length, 1);
      await leaver!.stop();
    }
    sending = false;
    await load;
    await caughtUp(world(), stream, 8, { timeoutMs: 20_000 });
    expect(intervals.overlaps).toBe(0);
    expect(intervals.list).toHaveLength(sent);
    expect(new Set(intervals.list.map(({ by }) => by)).size).toBeGreaterThan(4);
  });

  it('members that join all at once end with one plan for all of them', async () => {
    const stream = await world().stream(24);
    const consumers = await Promise.all([...Array(8).keys()].map(() => world().consumer(stream, () => undefined, { engine: patient })));
    await settled(world(), stream, 8);
    await Promise.all(consumers.map((consumer) => consumer.owns(3)));
    expect(consumers.flatMap(({ owned }) => owned).sort((a, b) => a - b)).toEqual([...Array(24).keys()]);
    const { generation } = await world().client.assignment({ stream, group: 'group' });
    const plans = consumers.flatMap((consumer) => consumer.all('partition.planned')).sort((x, y) => x.generation - y.generation);
    expect(plans.length).toBeLessThanOrEqual(8);
    expect(plans.at(-1)).toMatchObject({ generation, members: 8 });
  });
});
