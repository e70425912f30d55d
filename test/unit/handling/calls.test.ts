import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Calls, type Call } from '../../../libs/redis-streams/dist/handling/calls.js';
import { footprint } from '../kernel/support/window-model.js';

const MAX = 1_000;

function calls(onExpired: (delivery: Call) => void = () => undefined) {
  const expired: Call[] = [];
  const made = new Calls(MAX, (delivery) => {
    expired.push(delivery);
    made.close(delivery);
    onExpired(delivery);
  });
  const begin = (): Call & { reason?: Error } => {
    const told = { over: false, index: -1, startedAt: performance.now(), reason: undefined as Error | undefined, abort: (reason: Error) => void (told.reason = reason) };
    const delivery = told as unknown as Call & { reason?: Error };
    made.begin(delivery);
    return delivery;
  };
  return { c: made, begin, expired };
}

const done = (promise: Promise<boolean>): { value: () => boolean | undefined } => {
  let value: boolean | undefined;
  void promise.then((result) => (value = result));
  return { value: () => value };
};

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe('Calls', () => {
  it('has settled when nothing ever ran', async () => {
    expect(await calls().c.settled(5_000)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('has settled when every handler has returned and been heard, in either order', async () => {
    const { c, begin } = calls();
    const [a, b] = [begin(), begin()];
    const settled = done(c.settled(5_000));
    c.left();
    c.close(a);
    c.close(b); // acknowledged while its handler still runs
    await pass(1);
    expect([c.size, settled.value()]).toEqual([0, undefined]);
    c.left();
    await pass(1);
    expect(settled.value()).toBe(true);
  });

  it('waits for the acknowledgement that comes after the return', async () => {
    const { c, begin } = calls();
    const a = begin();
    c.left();
    const settled = done(c.settled(500));
    await pass(100);
    expect(settled.value()).toBeUndefined();
    c.close(a);
    await pass(0);
    expect(settled.value()).toBe(true);
  });

  it('waits no longer than told', async () => {
    const { c, begin } = calls();
    begin();
    const settled = done(c.settled(500));
    await pass(499);
    expect(settled.value()).toBeUndefined();
    await pass(1);
    expect(settled.value()).toBe(false);
  });

  it('tells everybody who waits, each in its own time', async () => {
    const { c, begin } = calls();
    const a = begin();
    const [long, short, longer] = [done(c.settled(3_600_000)), done(c.settled(50)), done(c.settled(7_200_000))];
    await pass(60);
    expect([long.value(), short.value(), longer.value()]).toEqual([undefined, false, undefined]);
    c.left();
    c.close(a);
    await pass(1);
    expect([long.value(), longer.value()]).toEqual([true, true]);
  });

  it('leaves no timer behind: neither the waiting nor the watching', async () => {
    const { c, begin } = calls();
    const a = begin();
    const waiting = [done(c.settled(3_600_000)), done(c.settled(3_600_000))];
    c.left();
    c.close(a);
    c.end();
    await pass(1);
    expect(waiting.map(({ value }) => value())).toEqual([true, true]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('calls back once when all is quiet, unless that is not wanted any more; and remembers nobody who has gone', async () => {
    const { c, begin } = calls();
    const [told, not] = [vi.fn(), vi.fn()];
    c.whenQuiet(told);
    expect(told).toHaveBeenCalledTimes(1);
    const a = begin();
    const before = footprint(c);
    c.whenQuiet(told);
    c.whenQuiet(not)();
    void c.settled(50);
    await pass(60);
    expect(footprint(c)).toBe(before + 1);
    c.left();
    c.close(a);
    const b = begin();
    c.left();
    c.close(b);
    expect([told.mock.calls.length, not.mock.calls.length]).toEqual([2, 0]);
  });

  it('an outcome is heard once', () => {
    const { c, begin } = calls();
    const a = begin();
    expect([c.close(a), c.close(a), a.over]).toEqual([true, false, true]);
  });

  it('after the end nobody is heard, and who still runs is waited for all the same', async () => {
    const { c, begin } = calls();
    const a = begin();
    c.end();
    expect([c.size, a.over, c.close(a)]).toEqual([0, true, false]);
    const settled = done(c.settled(10_000));
    await pass(MAX * 3);
    expect(settled.value()).toBeUndefined();
    c.left();
    await pass(0);
    expect(settled.value()).toBe(true);
  });

  it('aborts those that still have a say', () => {
    const { c, begin } = calls();
    const [a, b] = [begin(), begin()];
    c.close(a);
    const reason = new Error('gone');
    c.abort(reason);
    expect([a.reason, b.reason]).toEqual([undefined, reason]);
  });

  describe('too long', () => {
    it('each after its own time, no sooner and hardly later', async () => {
      const { c, begin, expired } = calls();
      const a = begin();
      await pass(400);
      const b = begin();
      await pass(300);
      const quick = begin();
      c.close(quick);
      await pass(299);
      expect(expired).toEqual([]);
      await pass(2);
      expect(expired).toEqual([a]);
      await pass(397);
      expect(expired).toEqual([a]);
      await pass(3);
      expect(expired).toEqual([a, b]);
      await pass(MAX * 5);
      expect(expired).toEqual([a, b]);
    });

    it('one that begins because another one was too long is watched too', async () => {
      const { begin, expired } = calls(() => { if (expired.length < 3) begin(); });
      begin();
      await pass(MAX * 3 + 10);
      expect(expired).toHaveLength(3);
      expect(expired.map(({ startedAt }) => Math.round((startedAt - expired[0]!.startedAt) / 100))).toEqual([0, 10, 20]);
    });

    it('watches again after a time with nothing to watch, and has one timer for all', async () => {
      const { c, begin, expired } = calls();
      const first = begin();
      c.left();
      c.close(first);
      await pass(MAX * 3);
      expect(vi.getTimerCount()).toBe(0);
      const all = Array.from({ length: 50 }, begin);
      expect(vi.getTimerCount()).toBe(1);
      await pass(MAX + 1);
      expect(expired).toEqual(all);
    });

    it('its handler still counts as running', async () => {
      const { c, begin, expired } = calls();
      begin();
      await pass(MAX + 1);
      expect(expired).toHaveLength(1);
      expect(await Promise.all([c.settled(100), pass(200)])).toMatchObject([false, {}]);
      c.left();
      expect(await c.settled(100)).toBe(true);
    });
  });

  it('forgets those that are closed, in whatever order, and no other', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.nat({ max: 30 }), { maxLength: 30 }), async (order) => {
      const { c, begin, expired } = calls();
      const all = Array.from({ length: 20 }, begin);
      const open = new Set(all);
      for (const place of order) {
        const call = all[place % all.length]!;
        expect(c.close(call)).toBe(open.delete(call));
        expect(c.size).toBe(open.size);
      }
      c.abort(new Error('over'));
      expect(all.filter(({ reason }) => reason)).toEqual([...open]);
      await pass(MAX);
      expect(new Set(expired)).toEqual(open);
      expect(expired).toHaveLength(open.size);
    }));
  });
});
