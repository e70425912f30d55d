import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import type { Consumer } from './support/consumer.js';
import { FencedError, type PartitionContext, PartitionLostError } from './support/engine.js';
import { gate, messages, Runs } from './support/handlers.js';
import { caughtUp, groupRow, keysOf } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

const retry = { initialMs: 20, maxMs: 20 };

onTopologies(BOTH, 'fencing', (world) => {
  it('tokens rise strictly from owner to owner of a partition, however it changes hands', async () => {
    const stream = await world().stream(4);
    const tokens = new Map<number, number[]>([0, 1, 2, 3].map((partition) => [partition, []]));
    const note = (_: unknown, { partition, fencingToken }: PartitionContext): void => {
      const list = tokens.get(partition)!;
      if (list.at(-1) !== fencingToken) list.push(fencingToken);
    };
    let n = 0;
    const handled = async (): Promise<void> => {
      await world().client.sendMany(stream, [0, 1, 2, 3].map((partition) => ({ partition, data: ++n })));
      await caughtUp(world(), stream, 4);
    };
    const a = await world().consumer(stream, note);
    await handled();
    const b = await world().consumer(stream, note); // some move
    await b.owns(2);
    await handled();
    await a.stop(); // and the others
    await b.owns(4);
    await handled();
    await world().cli(['ZADD', keysOf(stream).sessions, 1, b.session!]); // a death, and it comes back
    await b.saw('session.lost');
    await b.owns(4);
    await handled();
    await world().client.seek({ stream, group: 'group' }, 'latest'); // the same owner, anew
    await waitUntil(async () => (await handled(), [...tokens.values()].every((list) => list.length >= 4)), { what: 'all were given out anew' });
    await world().everywhere('FLUSHALL'); // not even this turns it back
    await b.owns(4);
    await b.saw('session.joined', 3);
    await waitUntil(async () => (await handled(), [...tokens.values()].every((list) => list.length >= 5)), { what: 'all were given out again' });
    for (const [partition, list] of tokens) {
      expect(list, `partition ${partition}`).toEqual([...new Set(list)].sort((x, y) => x - y));
      expect(list.every((token) => Number.isSafeInteger(token))).toBe(true);
    }
  });

  it('an owner keeps its token as long as it owns', async () => {
    const stream = await world().stream(2);
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(({ attempt }) => { if (attempt < 3) throw new Error('again'); }), { retry, engine: { session: { ttlMs: 300 } } });
    await world().client.sendMany(stream, messages(8, 8));
    await caughtUp(world(), stream, 2);
    await a.saw('session.renewed', 4);
    await world().client.pause({ stream, group: 'group' });
    await world().client.resume({ stream, group: 'group' });
    await world().client.sendMany(stream, messages(8, 8));
    await caughtUp(world(), stream, 2);
    for (const partition of [0, 1]) expect(new Set(runs.ofPartition(partition).map(({ fencingToken }) => fencingToken)).size).toBe(1);
  });

  it('a position moved by hand fences its owner: handlers abort, what they say later is refused, and the new position stands', async () => {
    const stream = await world().stream({ partitions: 1, retention: { keepMs: 60_000 } });
    const finish = gate();
    const runs = new Runs();
    const acks: unknown[] = [];
    const a = await world().consumer(stream, runs.handler(async (context) => {
      if (runs.contexts.length > 2) return;
      await finish.opened;
      acks.push(await context.ack().catch((error: unknown) => error));
    }), { concurrency: 2 });
    const sent = await world().client.sendMany(stream, messages(6, 6));
    await waitUntil(() => runs.contexts.length === 2, { what: 'two run' });
    await world().client.seek({ stream, group: 'group' }, sent[3]!.id);
    await waitUntil(() => runs.contexts.length === 5, { what: 'it goes on there' });
    await caughtUp(world(), stream, 1);
    for (const context of runs.contexts.slice(0, 2)) {
      expect(context.signal.reason).toBeInstanceOf(PartitionLostError);
      expect(context.signal.reason).toMatchObject({ reason: 'fenced' });
    }
    finish.open();
    await waitUntil(() => acks.length === 2, { what: 'the old ones have spoken' });
    for (const ack of acks) expect(ack).toBeInstanceOf(FencedError);
    expect(runs.data).toEqual(['m0', 'm1', 'm3', 'm4', 'm5']);
    expect(runs.contexts[2]!.fencingToken).toBeGreaterThan(runs.contexts[0]!.fencingToken);
    expect((await groupRow(world(), stream, 0))?.lastDeliveredId).toBe(sent[5]!.id);
    expect(a.all('partition.lost')).toMatchObject([{ partition: 0, reason: 'fenced' }]);
  });

  it('a stale commit changes nothing: not the position, not what is done ahead, not the dead letters', async () => {
    const stream = await world().stream(1);
    const finish = gate();
    const runs = new Runs();
    // The first three owners' epochs are stolen from them while they work.
    await world().consumer(stream, runs.handler(({ data }) => {
      if (runs.contexts.length > 6) return;
      return finish.opened.then(() => { if (data === 'm2') throw new Error('for the dead letters'); });
    }), { concurrency: 6, retry: { maxAttempts: 1 } });
    await world().client.sendMany(stream, messages(6, 6));
    await waitUntil(() => runs.contexts.length === 6, { what: 'all run' });
    const key = keysOf(stream, { shards: 1 }).positions(0);
    const before = String(await world().cli(['HGET', key, '0']));
    const stolen = before.replace(/^\d+/, String(Number(before.split(' ')[0]) + 1));
    await world().cli(['HSET', key, '0', stolen]);
    const row = await groupRow(world(), stream, 0);
    finish.open();
    await waitUntil(() => runs.contexts.length === 12, { what: 'all run again, under a token of their own' });
    await caughtUp(world(), stream, 1);
    expect(row?.lastDeliveredId).toBe('0-0');
    expect(await world().client.deadLetters({ stream, group: 'group' })).toEqual([]);
    expect(runs.contexts.slice(6).every(({ attempt, fencingToken }) => attempt === 1 && fencingToken > Number(stolen.split(' ')[0]))).toBe(true);
  });

  it('a message whose handler still runs after the loss does not run again in the same process before that one has ended', async () => {
    const stream = await world().stream(2);
    const finish = gate();
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler((_, n) => (n === 1 ? finish.opened : undefined)), { engine: { shutdown: { drainMs: 5_000 } } });
    const [first] = await world().client.sendMany(stream, [{ partition: 0, key: 'k', data: 1 }, { partition: 0, key: 'k', data: 2 }]);
    await waitUntil(() => runs.contexts.length === 1, { what: 'it runs' });
    await world().cli(['ZADD', keysOf(stream).sessions, 1, a.session!]);
    await a.saw('session.lost');
    await a.saw('session.joined', 2);
    // The other partition is there again, and this one is not.
    await world().client.send(stream, { partition: 1, key: 'o', data: 3 });
    await waitUntil(() => runs.ofPartition(1).length === 1, { what: 'the other partition works' });
    expect(runs.contexts[0]!.signal.aborted).toBe(true);
    expect(runs.ofPartition(0)).toHaveLength(1);
    finish.open();
    await caughtUp(world(), stream, 2);
    expect(runs.overlap).toBe(1);
    expect(runs.of(first!.id).map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(runs.ofKey('k').map(({ data }) => data)).toEqual([1, 1, 2]);
  });

  it('of two consumers whose sessions end at the same time nobody keeps what the other one was given', async () => {
    const stream = await world().stream(6);
    const runs = new Runs();
    const owners: Consumer[] = [await world().consumer(stream, runs.handler()), await world().consumer(stream, runs.handler())];
    await Promise.all(owners.map((owner) => owner.owns(3)));
    for (let round = 1; round <= 3; round++) {
      await Promise.all(owners.map((owner) => world().cli(['ZADD', keysOf(stream).sessions, 1, owner.session!])));
      await Promise.all(owners.map((owner) => owner.saw('session.lost', round)));
      await Promise.all(owners.map((owner) => owner.saw('session.joined', round + 1)));
      await waitUntil(() => owners.every(({ owned }) => owned.length === 3), { what: 'they share again' });
      await world().client.sendMany(stream, messages(12, 12, round * 12));
      await caughtUp(world(), stream, 6);
    }
    expect(runs.distinct).toBe(36);
    expect(runs.contexts).toHaveLength(36);
    expect(owners.flatMap(({ owned }) => owned).sort()).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
