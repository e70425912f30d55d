import { expect, it } from 'vitest';
import { lettersOf, onTopologies, BOTH } from './support/world.js';

onTopologies(BOTH, 'paging over a thousand dead letters', (world) => {
  it('shows each of them once, in order, whichever way, while some go and others come', async () => {
    const node = world().node();
    const stream = await world().stream(node, 6);
    const source = { kind: 'partition', stream, group: 'group' } as const;
    node.engine.addPartitionConsumer({ stream, group: 'group', retry: { maxAttempts: 1 }, concurrency: 16 }, { message: () => { throw new Error('no'); } });
    await node.engine.start();
    await node.engine.partitions().sendMany(stream, Array.from({ length: 1_000 }, (_, n) => ({ key: `k${n}`, data: n })));
    await lettersOf(node, source, 1_000, 30_000);

    const all = async (order: 'newest' | 'oldest', limit: number): Promise<string[]> => {
      const ids: string[] = [];
      for (let after: string | undefined; ;) {
        const { letters, next } = await node.letters.list(source, { order, limit, ...(after ? { after } : {}) });
        expect(letters.length).toBeLessThanOrEqual(limit);
        ids.push(...letters.map(({ entryId }) => entryId));
        if (next === undefined) return ids;
        expect(next).toBe(ids.at(-1));
        after = next;
      }
    };
    const oldest = await all('oldest', 130);
    expect(new Set(oldest).size).toBe(1_000);
    expect(await all('newest', 77)).toEqual(oldest.toReversed());
    expect(await all('oldest', 1_000)).toEqual(oldest);
    const times = oldest.map((id) => Number(id.split(/[:-]/)[1]));
    expect(times).toEqual(times.toSorted((a, b) => a - b));

    // A page's place stays what it was, whatever happens around it.
    const [first, second] = [oldest.slice(0, 100), oldest.slice(100, 200)];
    expect(await node.letters.purge(source, first)).toBe(100);
    await node.engine.partitions().send(stream, { data: 'one more' });
    await lettersOf(node, source, 901);
    const { letters } = await node.letters.list(source, { order: 'oldest', after: first.at(-1)!, limit: 100 });
    expect(letters.map(({ entryId }) => entryId)).toEqual(second);
    expect((await node.letters.list(source, { limit: 1 })).letters[0]!.data).toBe('one more');
    expect(await node.letters.count(source, { where: ({ data }) => data === 'one more' })).toBe(1);
    expect(await node.letters.purge(source, 'all')).toBe(901);
    expect(await node.letters.list(source)).toEqual({ letters: [], next: undefined });
  });
});
