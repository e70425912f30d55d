import { expect, it, vi } from 'vitest';
import { Timers } from '../../../libs/redis-streams/dist/redis/timers.js';

it('what is to take longer than the runtime can wait does not end at once', async () => {
  vi.useFakeTimers();
  try {
    const timers = new Timers();
    const ended: number[] = [];
    for (const ms of [5, 2 ** 31, Infinity]) timers.in(ms, () => ended.push(ms));
    await vi.advanceTimersByTimeAsync(86_400_000);
    expect(ended).toEqual([5]);
    timers.clear();
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});
