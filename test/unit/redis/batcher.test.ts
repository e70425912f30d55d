import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackpressureError, ClosedError } from '../../../libs/redis-streams/dist/errors/index.js';
import { Batcher, type BatcherOptions } from '../../../libs/redis-streams/dist/redis/batcher.js';

const make = (send: (items: readonly number[]) => Promise<readonly number[]>, more: Partial<BatcherOptions<number, number>> = {}) =>
  new Batcher<number, number>({ what: 'test', send, sizeOf: (n) => n, maxItems: 10, maxBytes: 1_000, maxPendingItems: 100_000, maxPendingBytes: 1e9, ...more });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('Batcher', () => {
  it('keeps the order, the bounds, and each item its own answer', async () => {
    await fc.assert(fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 80 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 900 }),
      fc.array(fc.boolean(), { maxLength: 80 }),
      async (items, maxItems, maxBytes, pauses) => {
        const batches: number[][] = [];
        let running = 0;
        const batcher = make(async (batch) => {
          expect(++running).toBe(1); // one batch in flight
          batches.push([...batch]);
          await turn();
          running--;
          return batch.map((n) => n * 2);
        }, { maxItems, maxBytes });
        const results: Promise<number>[] = [];
        for (const [i, item] of items.entries()) {
          results.push(batcher.add(item));
          if (pauses[i]) await turn();
        }
        expect(await Promise.all(results)).toEqual(items.map((n) => n * 2));
        expect(batches.flat()).toEqual(items);
        for (const batch of batches) {
          expect(batch.length).toBeGreaterThan(0);
          expect(batch.length).toBeLessThanOrEqual(maxItems);
          if (batch.length > 1) expect(batch.reduce((x, y) => x + y, 0)).toBeLessThanOrEqual(maxBytes);
        }
      }), { numRuns: 60 });
  });

  it('a lone item goes out in the same turn of the loop; what is added in one turn shares a batch', async () => {
    const batches: number[] = [];
    const batcher = make(async (batch) => { batches.push(batch.length); return batch; });
    await batcher.add(1);
    await Promise.all([batcher.add(1), batcher.add(2), batcher.add(3)]);
    expect(batches).toEqual([1, 3]);
  });

  it('a failed batch fails its items only', async () => {
    let calls = 0;
    const batcher = make(async (batch) => {
      if (++calls === 1) throw new Error('first');
      return batch;
    }, { maxItems: 2 });
    const results = await Promise.allSettled([1, 2, 3, 4].map((n) => batcher.add(n)));
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled']);
  });

  it('refuses what is beyond its bounds of items and bytes, and takes more once there is room', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => { release = resolve; });
    const batcher = make(async (batch) => { await held; return batch; }, { maxItems: 1, maxPendingItems: 3, maxPendingBytes: 100 });
    const first = batcher.add(1);
    await turn(); // in flight, no longer waiting
    const waiting = [batcher.add(40), batcher.add(50)];
    await expect(batcher.add(11)).rejects.toThrow(BackpressureError);
    waiting.push(batcher.add(10));
    await expect(batcher.add(0)).rejects.toThrow(/test is full \(3 items or 100 bytes\)/);
    release();
    expect(await Promise.all([first, ...waiting])).toEqual([1, 40, 50, 10]);
    expect(await batcher.add(100)).toBe(100);
  });

  it('an item larger than the byte bound goes alone, when nothing waits', async () => {
    const sizes: number[] = [];
    const batcher = make(async (batch) => { sizes.push(batch.length); return batch; }, { maxPendingBytes: 100 });
    await batcher.add(5_000);
    expect(sizes).toEqual([1]);
  });

  it('flush waits for everything added so far, close refuses the rest', async () => {
    const done: number[] = [];
    const batcher = make(async (batch) => { await turn(); done.push(...batch); return batch; }, { maxItems: 2 });
    const adds = [1, 2, 3, 4, 5].map((n) => batcher.add(n));
    await batcher.flush();
    expect(done).toEqual([1, 2, 3, 4, 5]);
    const late = batcher.add(6);
    await Promise.all([batcher.close(), batcher.close()]);
    expect(done).toEqual([1, 2, 3, 4, 5, 6]);
    await expect(batcher.add(7)).rejects.toThrow(ClosedError);
    await Promise.all([...adds, late]);
    await batcher.flush();
  });

  it('flush waits for what is there, not for what comes meanwhile; batches may end in any order', async () => {
    const ends: Array<() => void> = [];
    const batcher = make((batch) => new Promise((resolve) => ends.push(() => resolve(batch))), { maxItems: 2, inFlight: 2 });
    const add = (n: number): void => void batcher.add(n);
    for (const n of [1, 2, 3, 4, 5]) add(n);
    await turn();
    const flushed: string[] = [];
    const flush = (name: string): void => void batcher.flush().then(() => flushed.push(name));
    flush('a');
    for (const n of [6, 7, 8]) add(n);
    flush('b');
    ends[1]!(); // 3, 4; then 5, 6
    await turn();
    add(9);
    ends[2]!();
    await turn();
    expect(flushed).toEqual([]); // 1 and 2 are under way
    ends[0]!();
    await turn();
    expect(flushed).toEqual(['a']);
    ends[3]!(); // 7, 8
    await turn();
    expect(flushed).toEqual(['a', 'b']);
    flush('c');
    ends[4]!();
    await turn();
    expect(flushed).toEqual(['a', 'b', 'c']);
    expect(batcher.isIdle).toBe(true);
  });

  it('flush does not reject with a failed batch', async () => {
    const batcher = make(() => Promise.reject(new Error('no')));
    const add = batcher.add(1).catch((error: Error) => error.message);
    await batcher.flush();
    expect(await add).toBe('no');
  });
});
