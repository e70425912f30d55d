import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { shaOf } from '../support/cutter.js';
import { cutter } from './support/cut.js';
import { BOTH, lettersOf, type Node, onTopologies, type World } from './support/world.js';

const of = (stream: string, group = 'group') => ({ kind: 'partition', stream, group }) as const;

interface Broken {
  readonly node: Node;
  readonly seen: unknown[];
  /** From now on this data is handled. */
  mend(is?: (data: unknown) => boolean): void;
}

/** A consumer whose handler fails once per message, and for good, until told otherwise. */
async function broken(world: World, stream: string, { group = 'group', batch = false } = {}): Promise<Broken> {
  const node = world.node();
  const seen: unknown[] = [];
  let works: (data: unknown) => boolean = () => false;
  const handle = (data: unknown): void => {
    if (!works(data)) throw new Error(`no: ${JSON.stringify(data)}`);
    seen.push(data);
  };
  const tuning = { stream, group, retry: { maxAttempts: 1 }, concurrency: 4 };
  node.engine.addPartitionConsumer(tuning, batch ? { batch: (all) => (all as unknown[]).forEach(handle) } : { message: handle });
  await node.engine.start();
  return { node, seen, mend: (is = () => true) => void (works = is) };
}

onTopologies(BOTH, 'dead letters of partitions', (world) => {
  it('are replayed into their partitions, for the group that gave them up and for no other', async () => {
    const sender = world().node();
    const stream = await world().stream(sender);
    const [one, other, batches] = [await broken(world(), stream), await broken(world(), stream, { group: 'other' }), await broken(world(), stream, { group: 'batches', batch: true })];
    other.mend();
    batches.mend();
    const data = Array.from({ length: 30 }, (_, n) => n);
    const sent = await sender.engine.partitions().sendMany(stream, data.map((n) => ({ key: `k${n % 7}`, data: n, headers: { n: String(n) } })));
    await lettersOf(sender, of(stream), 30);
    await waitUntil(() => other.seen.length === 30 && batches.seen.length === 30, { what: 'the others have handled all' });
    const { letters } = await sender.letters.list(of(stream), { order: 'oldest' });
    expect(letters.map(({ details: { partition, id } }) => `${partition}/${id}`).toSorted()).toEqual(sent.map(({ partition, id }) => `${partition}/${id}`).toSorted());
    expect(letters.find(({ data: n }) => n === 8)).toMatchObject({ reason: 'max-attempts', error: 'no: 8', attempts: 1, key: 'k1', headers: { n: '8' }, readable: true, details: { partition: sent[8]!.partition, id: sent[8]!.id } });
    one.mend();
    expect(await sender.letters.replay(of(stream), {})).toEqual({ replayed: 30, skipped: [] });
    await waitUntil(() => one.seen.length === 30, { what: 'it has handled all' });
    expect(one.seen.toSorted()).toEqual(data.toSorted());
    // The others have passed over them: everything is committed by everybody, and nothing was handled twice.
    for (const group of ['group', 'other', 'batches']) {
      await waitUntil(async () => (await sender.engine.partitions().lag({ stream, group })).every(({ lag }) => lag === 0), { what: `${group} has committed all` });
    }
    expect([one.seen.length, other.seen.length, batches.seen.length]).toEqual([30, 30, 30]);
    expect(await sender.letters.count(of(stream))).toBe(0);
    // Failing again, it is a letter again, and goes back as before.
    one.mend(() => false);
    await sender.engine.partitions().send(stream, { key: 'again', data: 'again' });
    for (let round = 0; round < 2; round++) {
      await lettersOf(sender, of(stream), 1);
      if (round === 1) one.mend();
      expect(await sender.letters.replay(of(stream), {})).toMatchObject({ replayed: 1 });
    }
    await waitUntil(() => one.seen.length === 31, { what: 'it is handled at last' });
    await waitUntil(() => other.seen.length === 31 && batches.seen.length === 31, { what: 'and once by the others' });
  });

  it('those a filter lets through, oldest first, so many at most, and no faster than asked', async () => {
    const sender = world().node();
    const stream = await world().stream(sender, 1);
    const { node, seen, mend } = await broken(world(), stream);
    for (let n = 0; n < 12; n++) await sender.engine.partitions().send(stream, { key: n % 2 === 0 ? 'even' : 'odd', data: n });
    await lettersOf(sender, of(stream), 12);
    mend();
    expect(await sender.letters.replay(of(stream), { filter: { key: 'odd', where: ({ data }) => Number(data) > 2 }, limit: 2 })).toEqual({ replayed: 2, skipped: [] });
    await waitUntil(() => seen.length === 2, { what: 'both are handled' });
    expect(seen).toEqual([3, 5]);
    const { letters } = await sender.letters.list(of(stream), { order: 'oldest' });
    const [since, until] = [letters[2]!.at, letters.at(-1)!.at];
    const between = letters.filter(({ at }) => at >= since && at < until);
    expect(await sender.letters.count(of(stream), { since, until: new Date(until) })).toBe(between.length);
    const startedAt = performance.now();
    expect(await sender.letters.replay(of(stream), { filter: { reason: ['max-attempts'], key: 'even' } }, { perSecond: 20 })).toMatchObject({ replayed: 6 });
    expect(performance.now() - startedAt).toBeGreaterThan(250);
    await waitUntil(() => seen.length === 8, { what: 'the even ones are handled' });
    expect(node.all('partition.deadLettered')).toHaveLength(12);
    expect(await sender.letters.replay(of(stream), { filter: { reason: 'crashed' } })).toEqual({ replayed: 0, skipped: [] });
  });

  it('what fails again while others are replayed is not replayed again', async () => {
    const sender = world().node();
    const stream = await world().stream(sender);
    await broken(world(), stream);
    await sender.engine.partitions().sendMany(stream, Array.from({ length: 250 }, (_, n) => ({ key: `k${n}`, data: n })));
    await lettersOf(sender, of(stream), 250);
    expect(await sender.letters.replay(of(stream), {})).toEqual({ replayed: 250, skipped: [] });
    await lettersOf(sender, of(stream), 250);
  });

  it('a full partition takes none: they stay, and go when there is room', async () => {
    const sender = world().node();
    const stream = await world().stream(sender, 1, { maxEntries: 5 });
    const { node, mend } = await broken(world(), stream);
    for (let n = 0; n < 5; n++) await sender.engine.partitions().send(stream, { data: n });
    await lettersOf(sender, of(stream), 5);
    await node.engine.stop();
    for (let n = 5; n < 8; n++) await waitUntil(() => sender.engine.partitions().send(stream, { data: n }).then(() => true), { what: 'there is room: all is committed' });
    const result = await sender.letters.replay(of(stream), {});
    expect(result.skipped.map(({ reason }) => reason)).toEqual(['full', 'full', 'full']);
    expect(result.replayed).toBe(2);
    expect((await sender.engine.partitions().sizes(stream))).toEqual([5]);
    expect(await sender.letters.count(of(stream))).toBe(3);
    const again = await broken(world(), stream);
    again.mend();
    mend();
    await waitUntil(() => again.seen.length === 5, { what: 'the five are handled' });
    await waitUntil(async () => (await sender.letters.replay(of(stream), {})).skipped.length === 0, { what: 'the rest has gone back' });
    await waitUntil(() => again.seen.length === 8, { what: 'all are handled' });
    expect(again.seen.toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('of a group that is there no more they stay: the others would pass over them', async () => {
    const sender = world().node();
    const stream = await world().stream(sender, 1);
    const { node } = await broken(world(), stream);
    await sender.engine.partitions().send(stream, { data: 1 });
    await lettersOf(sender, of(stream), 1);
    await node.engine.stop();
    await world().cli(['XGROUP', 'DESTROY', `{${stream}/0}:0`, 'group'], `{${stream}/0}:0`);
    expect(await sender.letters.replay(of(stream), {})).toMatchObject({ replayed: 0, skipped: [{ reason: 'no-group' }] });
    const again = await broken(world(), stream);
    again.mend();
    expect(await sender.letters.replay(of(stream), {})).toMatchObject({ replayed: 1 });
    await waitUntil(() => again.seen.includes(1), { what: 'it is handled' });
  });

  it('rubbish among the letters is listed, stays, and can be purged', async () => {
    const sender = world().node();
    const stream = await world().stream(sender, 2);
    const dead = `{${stream}/0}:dead:group`;
    await world().cli(['XADD', dead, '*', 'what', 'ever']);
    await world().cli(['XADD', dead, '*', 'reason', 'r', 'partition', '17', 'entry.data', '{"bro']);
    await world().cli(['XADD', dead, '*', 'reason', 'r', 'partition', '0x0', 'entry.data', '1']);
    const { letters } = await sender.letters.list(of(stream), { order: 'oldest' });
    expect(letters.map(({ reason, readable }) => [reason, readable])).toEqual([['unknown', false], ['r', false], ['r', true]]);
    const { replayed, skipped } = await sender.letters.replay(of(stream), letters.map(({ entryId }) => entryId));
    expect([replayed, skipped.map(({ reason }) => reason)]).toEqual([0, ['unreadable', 'unreadable', 'unreadable']]);
    expect(await sender.letters.purge(of(stream), { filter: { reason: 'r' } })).toBe(2);
    expect(await sender.letters.purge(of(stream), 'all')).toBe(1);
    expect(await sender.letters.count(of(stream))).toBe(0);
  });

  it('a partition whose key holds something else takes none', async () => {
    const sender = world().node();
    const stream = await world().stream(sender, 1);
    await broken(world(), stream).then(async ({ node }) => {
      await sender.engine.partitions().send(stream, { data: 1 });
      await lettersOf(sender, of(stream), 1);
      await node.engine.stop();
    });
    await world().cli(['DEL', `{${stream}/0}:0`]);
    await world().cli(['SET', `{${stream}/0}:0`, 'mine']);
    expect(await sender.letters.replay(of(stream), {})).toMatchObject({ replayed: 0, skipped: [{ reason: 'unusable' }] });
    expect(await sender.letters.count(of(stream))).toBe(1);
  });

  it('names what is wrong before it asks Redis', async () => {
    const { letters } = world().node({ partition: { registrationWaitMs: 100 } });
    await expect(letters.list({ kind: 'partition', stream: 'a b', group: '' })).rejects.toMatchObject({ name: 'InvalidOptionsError', problems: [{ path: 'source.group' }, { path: 'source.stream' }] });
    await expect(letters.list({ kind: 'nothing' } as never)).rejects.toMatchObject({ problems: [{ path: 'source.kind' }] });
    await expect(letters.list(undefined as never)).rejects.toMatchObject({ problems: [{ path: 'source.kind' }] });
    await expect(letters.list(of('nobody-knows-it'))).rejects.toMatchObject({ name: 'StreamNotRegisteredError' });
    await expect(letters.purge({ kind: 'lease', service: 'x' }, undefined as never)).rejects.toMatchObject({ name: 'InvalidOptionsError' });
  });
});

onTopologies(['standalone'], 'dead letters of partitions, lost answers', (world) => {
  it.each([1, 3])('a replay cut after its write, %i times: nothing lost, nothing doubled, and the count is right', async (times) => {
    const sender = world().node();
    const stream = await world().stream(sender, 4);
    const { seen, mend } = await broken(world(), stream);
    const data = Array.from({ length: 450 }, (_, n) => n);
    await sender.engine.partitions().sendMany(stream, data.map((n) => ({ key: `k${n}`, data: n })));
    await lettersOf(sender, of(stream), 450);
    const proxy = await cutter(world());
    const desk = world().node({ connection: { url: proxy.url } });
    await desk.letters.count(of(stream));
    mend();
    proxy.cutAfter(shaOf('partition-replay'), times);
    expect(await desk.letters.replay(of(stream), {})).toEqual({ replayed: 450, skipped: [] });
    expect(proxy.cuts).toBe(times);
    await waitUntil(() => seen.length >= 450, { what: 'all are handled' });
    await waitUntil(async () => (await sender.engine.partitions().lag({ stream, group: 'group' })).every(({ lag }) => lag === 0), { what: 'all is committed' });
    expect((seen as number[]).toSorted((a, b) => a - b)).toEqual(data);
    expect(await desk.letters.count(of(stream))).toBe(0);
  });

  it('a purge cut after its write tells how many it has deleted', async () => {
    const sender = world().node();
    const stream = await world().stream(sender, 1);
    for (let n = 0; n < 3; n++) await world().cli(['XADD', `{${stream}/0}:dead:group`, '*', 'reason', 'r']);
    const proxy = await cutter(world());
    const desk = world().node({ connection: { url: proxy.url } });
    await desk.letters.count(of(stream));
    proxy.cutAfter(shaOf('dead-letters-purge'));
    expect(await desk.letters.purge(of(stream), 'all')).toBe(3);
    proxy.cutAfter('nothing', 0);
    expect(proxy.cuts).toBe(1);
  });
});
