import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HeldMessage } from '../../../libs/redis-streams/dist/queue/held-message.js';
import type { QueueShard } from '../../../libs/redis-streams/dist/queue/shard.js';
import { Turns } from '../../../libs/redis-streams/dist/queue/turns.js';
import { Mutex } from '../../../libs/redis-streams/dist/redis/mutex.js';

const placed = (name: string) => ({ shard: { name } as unknown as QueueShard, held: { name } as unknown as HeldMessage });

describe('turns of suspects', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** Two consumers of one process; the first has so many places. */
  function two(places: number) {
    const mutex = new Mutex();
    const free = { places };
    const first = new Turns(() => mutex.acquire(), () => free.places > 0 && free.places-- > 0);
    return { free, first, second: new Turns(() => mutex.acquire(), () => true) };
  }

  it('are not kept from others by one for whom there is no place; it gets both when there is one', async () => {
    const { free, first, second } = two(0);
    const [a, b] = [placed('a'), placed('b')];
    const order: string[] = [];
    void first.take(a, () => true).then((its) => order.push(`a ${its}`));
    void second.take(b, () => true).then((its) => order.push(`b ${its}`));
    await vi.advanceTimersByTimeAsync(500);
    expect([order, first.waiting().map(({ held }) => held)]).toEqual([[], [a.held]]);
    await vi.advanceTimersByTimeAsync(600);
    expect(order).toEqual(['b true']);
    second.end(b.held);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(order).toHaveLength(1);
    free.places = 1;
    first.advance();
    await vi.advanceTimersByTimeAsync(0);
    expect([order, free.places]).toEqual([['b true', 'a true'], 0]);
    first.end(a.held);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('go on when the one whose turn it is is not wanted any more, before it or while it waits for a place', async () => {
    const { first, second } = two(0);
    const [gone, stands, next] = [placed('gone'), placed('stands'), placed('next')];
    let wanted = true;
    const answers = [first.take(gone, () => false), first.take(stands, () => wanted), second.take(next, () => true)];
    expect(await answers[0]).toBe(false);
    await vi.advanceTimersByTimeAsync(10);
    wanted = false;
    first.dismiss();
    expect(await Promise.all(answers)).toEqual([false, false, true]);
    second.end(next.held);
    expect(vi.getTimerCount()).toBe(0);
  });
});
