import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { shaOf } from '../support/cutter.js';
import { cutter } from './support/cut.js';
import { BOTH, lettersOf, type Node, onTopologies, type World } from './support/world.js';

const of = (queue: string, group?: string) => ({ kind: 'queue', queue, ...(group && { group }) }) as const;

async function queueOf(world: World, node: Node, shards: number): Promise<string> {
  const name = world.fresh('mails');
  await node.engine.queues().register({ name, shards });
  return name;
}

/** A consumer whose handler fails for good until told otherwise. */
async function broken(world: World, queue: string, group: string): Promise<{ node: Node; seen: Array<{ data: unknown; key: string | undefined; messageId: string | undefined; headers: object }>; mend(): void; breakAgain(): void }> {
  const node = world.node();
  const seen: Array<{ data: unknown; key: string | undefined; messageId: string | undefined; headers: object }> = [];
  let works = false;
  node.engine.addQueueConsumer({ queue, group, retry: { maxAttempts: 1 } }, {
    message: (data, { key, messageId, headers }) => {
      if (!works) throw new Error(`no: ${JSON.stringify(data)}`);
      seen.push({ data, key, messageId, headers: { ...headers } });
    },
  });
  await node.engine.start();
  return { node, seen, mend: () => void (works = true), breakAgain: () => void (works = false) };
}

onTopologies(BOTH, 'dead letters of queues', (world) => {
  it('go back to their shards, as they were, for the group that gave them up', async () => {
    const sender = world().node();
    const queue = await queueOf(world(), sender, 4);
    const [one, other] = [await broken(world(), queue, 'one'), await broken(world(), queue, 'other')];
    other.mend();
    await Promise.all(Array.from({ length: 60 }, (_, n) => sender.engine.queues().queue(queue).send({ n }, { key: `k${n}`, id: `id-${n}`, headers: { n: String(n) } })));
    await lettersOf(sender, of(queue), 60);
    await waitUntil(() => other.seen.length === 60, { what: 'the other has handled all' });
    const { letters } = await sender.letters.list(of(queue, 'one'), { order: 'oldest' });
    expect(letters).toHaveLength(60);
    expect(letters.find(({ details }) => details.sentId === 'id-8')).toMatchObject({ kind: 'queue', reason: 'max-attempts', error: 'no: {"n":8}', attempts: 1, key: 'k8', data: { n: 8 }, headers: { n: '8' }, details: { group: 'one', id: expect.stringMatching(/^\d+-\d+$/) } });
    expect(new Set(letters.map(({ entryId }) => entryId.split(':')[0])).size).toBeGreaterThan(1);
    expect(await sender.letters.count(of(queue, 'other'))).toBe(0);
    expect(await sender.letters.replay(of(queue, 'other'), letters[0]!.entryId)).toMatchObject({ replayed: 0, skipped: [{ reason: 'gone' }] });
    one.mend();
    expect(await sender.letters.replay(of(queue, 'one'), { filter: { key: ['k1', 'k2'] } }, { by: 'alice' })).toEqual({ replayed: 2, skipped: [] });
    await waitUntil(() => one.seen.length === 2, { what: 'both are handled' });
    expect(await sender.letters.replay(of(queue), {})).toEqual({ replayed: 58, skipped: [] });
    await waitUntil(() => one.seen.length === 60, { what: 'all are handled' });
    expect(one.seen.map(({ messageId }) => messageId).toSorted()).toEqual(Array.from({ length: 60 }, (_, n) => `id-${n}`).toSorted());
    expect(one.seen.find(({ messageId }) => messageId === 'id-8')).toEqual({ data: { n: 8 }, key: 'k8', messageId: 'id-8', headers: { n: '8' } });
    for (const group of ['one', 'other']) await waitUntil(async () => (await sender.engine.queues().stats(queue, group)).messages === 0, { what: 'every group has settled all' });
    expect([one.seen.length, other.seen.length, await sender.letters.count(of(queue))]).toEqual([60, 60, 0]);
    expect(sender.all('deadLetters.replayed').map(({ kind, source, by, replayed }) => [kind, source, by, replayed])).toContainEqual(['queue', `${queue}#one`, 'alice', 2]);
  });

  it('failing again it is a letter again; purged by group, those of others stay', async () => {
    const sender = world().node();
    const queue = await queueOf(world(), sender, 2);
    await broken(world(), queue, 'one');
    await broken(world(), queue, 'two');
    await sender.engine.queues().queue(queue).send('x', { key: 'k' });
    await lettersOf(sender, of(queue), 2);
    expect(await sender.letters.replay(of(queue, 'one'), {})).toMatchObject({ replayed: 1 });
    await waitUntil(async () => (await sender.letters.count(of(queue, 'one'))) === 1, { what: 'it has failed again' });
    const { letters: [letter] } = await sender.letters.list(of(queue, 'one'));
    expect(letter!.fields['entry.to']).toBe('one');
    expect(await sender.letters.replay(of(queue, 'one'), letter!.entryId)).toMatchObject({ replayed: 1 });
    await lettersOf(sender, of(queue), 2);
    expect(await sender.letters.purge(of(queue, 'one'), 'all')).toBe(1);
    expect([await sender.letters.count(of(queue, 'two')), await sender.letters.purge(of(queue), 'all')]).toEqual([1, 1]);
  });

  it('of a group that is there no more they stay: the others would pass over them', async () => {
    const sender = world().node();
    const queue = await queueOf(world(), sender, 1);
    const { node } = await broken(world(), queue, 'one');
    await sender.engine.queues().queue(queue).send('x');
    await lettersOf(sender, of(queue), 1);
    await node.engine.stop();
    const messages = (await world().allKeys()).find((key) => key.startsWith(`{queue:${queue}/`) && key.endsWith(':messages'))!;
    await world().cli(['XGROUP', 'DESTROY', messages, 'one'], messages);
    expect(await sender.letters.replay(of(queue), {})).toMatchObject({ replayed: 0, skipped: [{ reason: 'no-group' }] });
    const again = await broken(world(), queue, 'one');
    again.mend();
    expect(await sender.letters.replay(of(queue), {})).toMatchObject({ replayed: 1 });
    await waitUntil(() => again.seen.length === 1, { what: 'it is handled' });
  });

  it('a queue that nobody has registered has none', async () => {
    const { letters } = world().node({ queue: { registrationWaitMs: 100 } });
    await expect(letters.list(of('nobody-knows-it'))).rejects.toMatchObject({ name: 'QueueNotRegisteredError' });
    await expect(letters.list(of('a b', 'c d'))).rejects.toMatchObject({ problems: [{ path: 'source.group' }, { path: 'source.queue' }] });
  });
});

onTopologies(['standalone'], 'dead letters of queues, lost answers', (world) => {
  it('a replay cut after its write: nothing lost, nothing doubled', async () => {
    const sender = world().node();
    const queue = await queueOf(world(), sender, 3);
    const { seen, mend } = await broken(world(), queue, 'one');
    await Promise.all(Array.from({ length: 150 }, (_, n) => sender.engine.queues().queue(queue).send(n)));
    await lettersOf(sender, of(queue), 150);
    const proxy = await cutter(world());
    const desk = world().node({ connection: { url: proxy.url } });
    await desk.letters.count(of(queue));
    mend();
    proxy.cutAfter(shaOf('queue-replay'), 2);
    expect(await desk.letters.replay(of(queue), {})).toEqual({ replayed: 150, skipped: [] });
    expect(proxy.cuts).toBe(2);
    await waitUntil(() => seen.length >= 150, { what: 'all are handled' });
    await waitUntil(async () => (await sender.engine.queues().stats(queue, 'one')).messages === 0, { what: 'all is settled' });
    expect(seen.map(({ data }) => data as number).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 150 }, (_, n) => n));
    expect(await desk.letters.count(of(queue))).toBe(0);
  });
});

onTopologies(['standalone'], 'dead letters of queues on a full server', (world) => {
  it('out of memory: nothing goes back, which is told as back-pressure; purging makes room all the same', async () => {
    const sender = world().node();
    const queue = await queueOf(world(), sender, 1);
    const one = await broken(world(), queue, 'one');
    await sender.engine.queues().queue(queue).sendMany([{ data: 1 }, { data: 2 }]);
    await lettersOf(sender, of(queue), 2);
    one.mend();
    await world().everywhere('CONFIG', 'SET', 'maxmemory', '1');
    try {
      await expect(sender.letters.replay(of(queue), {})).rejects.toMatchObject({ code: 'BACKPRESSURE' });
      expect([one.seen, await sender.letters.count(of(queue))]).toEqual([[], 2]);
      expect(await sender.letters.purge(of(queue), { limit: 1 })).toBe(1);
    } finally {
      await world().everywhere('CONFIG', 'SET', 'maxmemory', '0');
    }
    expect(await sender.letters.replay(of(queue), {})).toEqual({ replayed: 1, skipped: [] });
  }, 40_000);
});
