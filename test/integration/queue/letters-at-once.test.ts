import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { shaOf, startCutter } from '../support/cutter.js';
import { consume } from './support/consumer.js';
import { numbers } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { drained, lettersOf } from './support/state.js';
import { BOTH, onTopologies, type World } from './support/world.js';

const COUNT = 1_500;
const byNumber = (a: unknown, b: unknown): number => Number(a) - Number(b);

/** A queue with so many dead letters, and what its group is given from then on. */
async function given(world: World, shards: number): Promise<{ queue: string; source: { kind: 'queue'; queue: string }; seen: number[] }> {
  const queue = await world.queue({ shards });
  const seen: number[] = [];
  let broken = true;
  await consume(world, queue, async (data, ctx) => {
    if (broken) await ctx.deadLetter('broken');
    else seen.push(data as number);
  });
  await world.client.queue(queue).sendMany(numbers(COUNT).map((data) => ({ data, id: `id-${data}` })));
  await drained(world, queue, { shards });
  broken = false;
  expect(await lettersOf(world, queue, shards)).toHaveLength(COUNT);
  return { queue, source: { kind: 'queue', queue }, seen };
}

onTopologies(BOTH, 'dead letters that several want at once', (world) => {
  it.each([
    ['all', () => 'all' as const],
    ['those a filter lets through', () => ({ filter: { where: () => true } })],
  ])('two replays and two purges of %s: each letter is replayed or purged, once, and the counts say so', async (_, selection) => {
    const { queue, source, seen } = await given(world(), 4);
    const desks = numbers(4).map(() => world().engine().deadLetters());
    await Promise.all(desks.map((desk) => desk.count(source))); // connected
    const [replays, purges] = await Promise.all([
      Promise.all(desks.slice(0, 2).map((desk) => desk.replay(source, {}))),
      Promise.all(desks.slice(2).map((desk) => desk.purge(source, selection()))),
    ]);
    const replayed = replays.reduce((sum, each) => sum + each.replayed, 0);
    const purged = purges.reduce((sum, each) => sum + each, 0);
    expect(replayed + purged).toBe(COUNT);
    expect(new Set(replays.flatMap(({ skipped }) => skipped.map(({ reason }) => reason)))).toEqual(new Set(replays.some(({ skipped }) => skipped.length > 0) ? ['gone'] : []));
    await waitUntil(() => seen.length >= replayed, { what: 'what was replayed is handled' });
    await drained(world(), queue, { shards: 4 });
    expect(seen).toHaveLength(replayed);
    expect(new Set(seen).size).toBe(replayed);
    expect(await lettersOf(world(), queue, 4)).toEqual([]);
  });

  it('the same ids, asked for again and again by everybody: the first has them, the others are told they are gone', async () => {
    const { queue, source, seen } = await given(world(), 2);
    const desks = numbers(3).map(() => world().engine().deadLetters());
    const { letters } = await desks[0]!.list(source, { limit: COUNT });
    const ids = letters.map(({ entryId }) => entryId);
    const [first, second, purged] = await Promise.all([desks[0]!.replay(source, ids), desks[1]!.replay(source, [...ids, ...ids]), desks[2]!.purge(source, ids)]);
    expect(first.replayed + second.replayed + purged).toBe(COUNT);
    for (const { replayed, skipped } of [first, second]) {
      expect(replayed + skipped.length).toBe(COUNT);
      expect(new Set(skipped.map(({ entryId }) => entryId)).size).toBe(skipped.length);
      expect(skipped.every(({ reason }) => reason === 'gone')).toBe(true);
    }
    expect([await desks[0]!.replay(source, ids), await desks[0]!.purge(source, ids)]).toEqual([{ replayed: 0, skipped: expect.objectContaining({ length: COUNT }) as unknown }, 0]);
    await drained(world(), queue, { shards: 2 });
    expect(seen).toHaveLength(first.replayed + second.replayed);
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('replayed while the handler still fails, and purged meanwhile: none is lost, none is there twice', async () => {
    const queue = await world().queue({ shards: 2 });
    const attempts = new Map<unknown, number>();
    await consume(world(), queue, async (data, ctx) => {
      attempts.set(data, (attempts.get(data) ?? 0) + 1);
      await ctx.deadLetter('broken');
    });
    await world().client.queue(queue).sendMany(numbers(300).map((data) => ({ data })));
    await waitUntil(() => attempts.size === 300, { what: 'all are given up' });
    await drained(world(), queue, { shards: 2 });
    const source = { kind: 'queue', queue } as const;
    const desks = numbers(3).map(() => world().engine().deadLetters());
    let replayed = 0;
    for (let round = 0; round < 4; round++) {
      const results = await Promise.all(desks.map((desk) => desk.replay(source, {})));
      replayed += results.reduce((sum, each) => sum + each.replayed, 0);
    }
    const purged = await desks[0]!.purge(source, 'all');
    await drained(world(), queue, { shards: 2 });
    await waitUntil(async () => (await desks[0]!.count(source)) === 300 - purged, { what: 'each is a letter, or purged' });
    expect([...attempts.values()].reduce((sum, count) => sum + count, 0)).toBe(300 + replayed);
    const left = (await lettersOf(world(), queue, 2)).map(({ fields }) => JSON.parse(fields['entry.data']!) as number);
    expect(new Set(left).size).toBe(left.length);
  });
});

onTopologies(['standalone'], 'dead letters that several want at once, while answers get lost', (world) => {
  it('every letter ends once, and the counts still add up', async () => {
    const { queue, source, seen } = await given(world(), 3);
    const proxies = await Promise.all(numbers(2).map(() => startCutter(world().topology.servers[0]!.port)));
    for (const proxy of proxies) world().onEnd(() => proxy.stop());
    const [one, two] = proxies.map(({ url }) => world().engine({ connection: { url } }).deadLetters());
    await Promise.all([one!.count(source), two!.count(source)]);
    proxies[0]!.cutAfter(shaOf('queue-replay'), 3);
    proxies[1]!.cutAfter(shaOf('dead-letters-purge'), 3);
    const [{ replayed }, purged] = await Promise.all([one!.replay(source, {}), two!.purge(source, 'all')]);
    expect(proxies.map(({ cuts }) => cuts)).toEqual([3, 3]);
    expect(replayed + purged).toBe(COUNT);
    expect([replayed > 0, purged > 0]).toEqual([true, true]);
    await drained(world(), queue, { shards: 3 });
    expect(seen.slice().sort(byNumber)).toEqual([...new Set(seen)].sort(byNumber));
    expect(seen).toHaveLength(replayed);
    expect(await world().cli(['XLEN', keysOf(queue, { shards: 3 }).dead])).toBe(0);
  });
});
