import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Outbox, type Batch, type Content } from '../../../libs/redis-streams/dist/redis/outbox.js';

interface Item { readonly text: string; readonly size: number; readonly bytes: number }

class Texts implements Content<Item> {
  readonly all: string[] = [];

  add({ text, bytes }: Item): number {
    this.all.push(text);
    return bytes;
  }
}

/** Batches of three at most that wait 100 ms for more; the server answers when told. */
function lingering() {
  const sent: string[] = [];
  const ends: Array<() => void> = [];
  const outbox = new Outbox<Item, string, Texts>('test', (batch: Batch<Texts, string>) => new Promise((resolve) => {
    const { content } = batch;
    sent.push(content.all.join(''));
    ends.push(() => {
      content.all.forEach((text, i) => batch.settle(i, text));
      resolve();
    });
  }), () => new Texts(), { lingerMs: 100, maxBatch: 3 });
  const add = (text: string): void => void outbox.add({ text, size: 1, bytes: 1 });
  return { outbox, sent, add, answer: async () => (ends.shift()!(), vi.advanceTimersByTimeAsync(0)) };
}

describe('an outbox that lingers', () => {
  beforeEach(() => { vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }); });
  afterEach(() => { vi.useRealTimers(); });

  it('sends what there is so long after the first item, and at once what is full', async () => {
    const { sent, add, answer } = lingering();
    add('a');
    await vi.advanceTimersByTimeAsync(60);
    add('b');
    await vi.advanceTimersByTimeAsync(39);
    expect(sent).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent).toEqual(['ab']);
    await answer();
    for (const text of 'cdef') add(text);
    await vi.advanceTimersByTimeAsync(0);
    expect(sent).toEqual(['ab', 'cde']);
    await vi.advanceTimersByTimeAsync(500);
    expect(sent).toEqual(['ab', 'cde']); // one at a time, unless it is full
    await answer();
    expect(sent).toEqual(['ab', 'cde', 'f']);
  });

  it('counts from its first item, also for a batch that grew while another was under way', async () => {
    const { sent, add, answer } = lingering();
    for (const text of 'abc') add(text);
    await vi.advanceTimersByTimeAsync(0);
    add('d');
    await vi.advanceTimersByTimeAsync(70);
    await answer();
    expect(sent).toEqual(['abc']);
    await vi.advanceTimersByTimeAsync(29);
    expect(sent).toEqual(['abc']);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent).toEqual(['abc', 'd']);
  });

  it('does not when somebody waits for all of it, and leaves no timer', async () => {
    const { outbox, sent, add, answer } = lingering();
    add('a');
    const flushed = outbox.flush();
    await vi.advanceTimersByTimeAsync(0);
    expect(sent).toEqual(['a']);
    await answer();
    await flushed;
    expect(vi.getTimerCount()).toBe(0);
    add('b');
    await vi.advanceTimersByTimeAsync(99);
    expect(sent).toEqual(['a']);
    const closed = outbox.close();
    await vi.advanceTimersByTimeAsync(0);
    expect(sent).toEqual(['a', 'b']);
    await answer();
    await closed;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('lingers again behind what somebody waited for', async () => {
    const { outbox, sent, add, answer } = lingering();
    for (const text of 'abcd') add(text);
    const flushed = outbox.flush();
    await vi.advanceTimersByTimeAsync(0);
    expect(sent).toEqual(['abc']);
    await answer(); // d goes at once
    expect(sent).toEqual(['abc', 'd']);
    add('e');
    await answer();
    await flushed;
    await vi.advanceTimersByTimeAsync(99);
    expect(sent).toEqual(['abc', 'd']);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent).toEqual(['abc', 'd', 'e']);
  });

  it('leaves no timer when what waits is given up', async () => {
    const { outbox, sent } = lingering();
    const refused = outbox.add({ text: 'a', size: 1, bytes: 1 }).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(10);
    expect(outbox.abandon(new Error('over'))).toBe(1);
    expect(await refused).toEqual(new Error('over'));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sent).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
