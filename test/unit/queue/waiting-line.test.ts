import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackpressureError, ClosedError } from '../../../libs/redis-streams/dist/errors/index.js';
import { WaitingLine } from '../../../libs/redis-streams/dist/queue/waiting-line.js';
import { Budget } from '../../../libs/redis-streams/dist/redis/outbox.js';
import { Failed } from '../../../libs/redis-streams/dist/redis/settle.js';

interface Item { readonly name: string; readonly size: number; readonly bytes: number }

/** A line before a budget of 10 items and 100 bytes, and who came to his turn. */
function line() {
  const budget = new Budget(10, 100, () => waiting.advance());
  const handed: string[] = [];
  const told: Array<[string, unknown]> = [];
  const since: number[] = [];
  const waiting = new WaitingLine<Item, string>({
    what: 'test', budget, patienceMs: 1_000,
    hand: ({ name, size }, _settle, place, came) => {
      expect(place).toBe(size);
      budget.take(size);
      handed.push(name);
      since.push(came);
    },
  });
  const join = (name: string, size = 10): void => waiting.join({ name, size, bytes: size }, (result, place) => {
    expect(place).toBe(size);
    told.push([name, result instanceof Failed ? result.error : result]);
  }, size);
  return { budget, waiting, handed, told, since, join };
}

describe('WaitingLine', () => {
  beforeEach(() => { vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }); });
  afterEach(() => { vi.useRealTimers(); });

  it('lets in as many as there is room for, in order: a small one passes no large one', () => {
    const { budget, waiting, handed, join } = line();
    for (let i = 0; i < 9; i++) budget.take(10);
    expect(waiting.holds({ name: 'x', size: 10, bytes: 10 })).toBe(false);
    budget.take(10);
    expect(waiting.holds({ name: 'x', size: 10, bytes: 10 })).toBe(true);
    join('large', 40);
    join('small', 1);
    join('last', 1);
    budget.release(3, 30);
    expect(handed).toEqual([]);
    expect(waiting.holds({ name: 'x', size: 1, bytes: 1 })).toBe(true);
    budget.release(1, 10);
    expect(handed).toEqual(['large']);
    budget.release(1, 10);
    expect(handed).toEqual(['large', 'small', 'last']);
    expect(waiting.length).toBe(0);
  });

  it('tells who waits too long that there was no room; those behind go on waiting for their own time', async () => {
    const { budget, waiting, handed, told, join } = line();
    for (let i = 0; i < 10; i++) budget.take(10);
    join('first');
    await vi.advanceTimersByTimeAsync(600);
    join('second');
    await vi.advanceTimersByTimeAsync(399);
    expect(told).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(told).toEqual([['first', expect.any(BackpressureError)]]);
    await vi.advanceTimersByTimeAsync(599);
    budget.release(1, 10);
    expect(handed).toEqual(['second']);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(told).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
    join('third');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(told[1]).toEqual(['third', expect.objectContaining({ code: 'BACKPRESSURE', message: expect.stringContaining('no room for 1000 ms') as string })]);
    expect(waiting.length).toBe(0);
  });

  it('flush waits for those who are there, not for who comes meanwhile', async () => {
    const { budget, waiting, join } = line();
    for (let i = 0; i < 10; i++) budget.take(10);
    join('a');
    join('b');
    let flushed = false;
    const flush = waiting.flush().then(() => (flushed = true));
    join('c');
    budget.release(1, 10);
    await Promise.resolve();
    expect(flushed).toBe(false);
    budget.release(1, 10);
    await flush;
    expect(waiting.length).toBe(1);
    waiting.abandon(new ClosedError('test'));
  });

  it('tells with whoever has room when he came', async () => {
    const { budget, waiting, since, join } = line();
    for (let i = 0; i < 10; i++) budget.take(10);
    const came = performance.now();
    join('a');
    await vi.advanceTimersByTimeAsync(700);
    budget.release(1, 10);
    expect(since).toEqual([came]);
    expect(waiting.length).toBe(0);
  });

  it('flush waits until nobody does; who is given up is told so, and counted', async () => {
    const { budget, waiting, told, join } = line();
    await waiting.flush();
    for (let i = 0; i < 10; i++) budget.take(10);
    join('a');
    join('b');
    let flushed = false;
    const flush = waiting.flush().then(() => (flushed = true));
    budget.release(1, 10);
    await Promise.resolve();
    expect(flushed).toBe(false);
    expect(waiting.abandon(new ClosedError('test'))).toBe(1);
    await flush;
    expect(told).toEqual([['b', expect.any(ClosedError)]]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
