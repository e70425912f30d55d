import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { shaOf } from '../support/cutter.js';
import { cutter } from './support/cut.js';
import type { FanoutOptions } from './support/engine.js';
import { BOTH, lettersOf, type Node, onTopologies, type World } from './support/world.js';

const all = { kind: 'fanout' } as const;
const of = (room: string) => ({ kind: 'fanout', room }) as const;

/** A process in rooms whose subscriber is ejected over everything until told otherwise. */
async function rooms(world: World, names: readonly string[], fanout: FanoutOptions): Promise<{ node: Node; seen: Array<[room: string, data: unknown]>; mend(): void }> {
  const node = world.node({ fanout });
  const seen: Array<[string, unknown]> = [];
  let broken = true;
  for (const name of names) {
    await node.engine.fanout().join(name, (data, { room }) => {
      if (broken) throw new Error('no');
      seen.push([room, data]);
    }, { onFailure: 'eject' });
  }
  return { node, seen, mend: () => void (broken = false) };
}

onTopologies(BOTH, 'dead letters of rooms', (world) => {
  it('go back to their rooms under new ids, with their priority, and are acknowledged', async () => {
    const names = Array.from({ length: 8 }, () => world().fresh('room'));
    const fanout = world().rooms();
    const { node, seen, mend } = await rooms(world(), names, fanout);
    const desk = world().node({ fanout });
    const sent = new Map<string, string>();
    for (const name of names) {
      const { id } = await desk.engine.fanout().send(name, { from: name }, { priority: 3, headers: { h: '1' } });
      sent.set(name, id);
    }
    await lettersOf(desk, all, 8);
    const { letters } = await desk.letters.list(all, { order: 'oldest' });
    for (const letter of letters) {
      const { room } = letter.details;
      expect(letter).toMatchObject({ kind: 'fanout', reason: 'all-ejected', attempts: 2, key: room, data: { from: room }, readable: true, headers: { h: '1' }, details: { id: sent.get(room), priority: 3, who: [expect.any(String)] } });
    }
    expect(new Set(letters.map(({ key }) => key))).toEqual(new Set(names));
    mend();
    const [only] = names;
    expect(await desk.letters.count(of(only!))).toBe(1);
    expect(await desk.letters.replay(of(only!), {})).toEqual({ replayed: 1, skipped: [] });
    await waitUntil(() => seen.length === 1, { what: 'it is shown again' });
    const elsewhere = letters.find(({ key }) => key !== only)!;
    expect(await desk.letters.get(of(only!), elsewhere.entryId)).toBeUndefined();
    expect(await desk.letters.replay(of(only!), elsewhere.entryId)).toEqual({ replayed: 0, skipped: [{ entryId: elsewhere.entryId, reason: 'gone' }] });
    expect(await desk.letters.replay(all, {})).toEqual({ replayed: 7, skipped: [] });
    await waitUntil(() => seen.length === 8, { what: 'all are shown again' });
    expect(seen.map(([room]) => room).toSorted()).toEqual(names.toSorted());
    await waitUntil(async () => (await Promise.all(names.map((name) => desk.engine.fanout().state(name)))).every(({ current, backlog }) => !current && backlog === 0), { what: 'all are acknowledged' });
    expect(await desk.letters.count(all)).toBe(0);
    expect(desk.all('deadLetters.replayed').map(({ source, replayed, skipped }) => [source, replayed, skipped])).toEqual([[`room "${only}"`, 1, 0], [`room "${only}"`, 0, 1], ['all rooms', 7, 0]]);
    expect(node.all('room.deadLettered')).toHaveLength(8);
  });

  it('a full room takes none; purged by room, the letters of others stay', async () => {
    const [a, b] = [world().fresh('room'), world().fresh('room')];
    const fanout = world().rooms({ maxBacklog: 2 });
    const { node } = await rooms(world(), [a, b], fanout);
    for (const room of [a, a, a, b]) {
      const before = await node.letters.count(all);
      await node.engine.fanout().send(room, 1);
      await lettersOf(node, all, before + 1);
    }
    await node.engine.stop();
    const desk = world().node({ fanout });
    const { replayed, skipped } = await desk.letters.replay(of(a), {});
    expect([replayed, skipped.map(({ reason }) => reason)]).toEqual([2, ['full']]);
    expect((await desk.engine.fanout().peek(a)).length).toBe(2);
    expect(await desk.letters.purge(of(a), 'all')).toBe(1);
    expect([await desk.letters.count(of(a)), await desk.letters.count(of(b)), await desk.letters.count(all)]).toEqual([0, 1, 1]);
  });

  it('what was no message is listed, and does not go back', async () => {
    const fanout = world().rooms({ shards: 1 });
    const { node, seen, mend } = await rooms(world(), [], fanout);
    mend();
    await world().cli(['ZADD', `{fanout:${fanout.namespace}:0}:backlog:r`, '-5', 'rubbish']);
    await node.engine.fanout().join('r', (data) => void seen.push(['r', data]));
    await node.engine.fanout().send('r', 'sound');
    await waitUntil(() => seen.length === 1, { what: 'the room goes on' });
    const { letters: [letter] } = await node.letters.list(all);
    expect(letter).toMatchObject({ reason: 'unreadable', readable: false, key: 'r', fields: { entry: 'rubbish' }, details: { id: undefined } });
    expect(await node.letters.replay(all, {})).toEqual({ replayed: 0, skipped: [{ entryId: letter!.entryId, reason: 'unreadable' }] });
    expect(await node.letters.count(all)).toBe(1);
  });
});

onTopologies(['standalone'], 'dead letters of rooms, lost answers', (world) => {
  it('a replay cut after its write shows each message once more, and no more', async () => {
    const room = world().fresh('room');
    const fanout = world().rooms();
    const { node, seen, mend } = await rooms(world(), [room], fanout);
    for (let n = 0; n < 5; n++) await node.engine.fanout().send(room, n);
    await lettersOf(node, all, 5);
    const proxy = await cutter(world());
    const desk = world().node({ fanout, connection: { url: proxy.url } });
    await desk.letters.count(all);
    mend();
    proxy.cutAfter(shaOf('fanout-replay'));
    expect(await desk.letters.replay(all, {})).toEqual({ replayed: 5, skipped: [] });
    expect(proxy.cuts).toBe(1);
    await waitUntil(() => seen.length >= 5, { what: 'all are shown' });
    await waitUntil(async () => (await node.engine.fanout().state(room)).current === undefined, { what: 'the room is idle' });
    expect(seen.map(([, data]) => data)).toEqual([0, 1, 2, 3, 4]);
    expect(await desk.letters.count(all)).toBe(0);
  });
});
