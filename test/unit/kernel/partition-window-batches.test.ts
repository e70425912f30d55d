import { describe, expect, it } from 'vitest';
import { PartitionWindow } from '../../../libs/redis-streams/src/kernel/partition-window.js';

describe('batches of a hot key', () => {
  it('a second batch is as large as the first, although what followed waited behind the first', () => {
    const window = new PartitionWindow<number>({ capacity: 100, span: 100 }, { watermark: '0-0', done: [], failures: [] });
    for (let i = 1; i <= 30; i++) window.push(`${i}-0`, 'hot', i);
    const joining = new Set(['hot']);
    const batch = (): string[] => {
      const first = window.take();
      if (!first) return [];
      const entries = [first];
      while (entries.length < 10) {
        const entry = window.take(joining);
        if (!entry) break;
        entries.push(entry);
      }
      taken.push(entries);
      return entries.map(({ id }) => id);
    };
    const taken: Array<Array<Parameters<typeof window.done>[0]>> = [];
    expect(batch()).toHaveLength(10);
    expect(batch()).toEqual([]); // another worker looks while the first batch runs: the rest gathers behind it
    for (const entry of taken[0]!) window.done(entry);
    expect(batch()).toEqual(Array.from({ length: 10 }, (_, i) => `${i + 11}-0`));
  });
});
