import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Failing, PartitionWindow } from '../../../libs/redis-streams/dist/kernel/partition-window.js';
import { Delays } from '../../../libs/redis-streams/dist/partition/delays.js';

const DAY = 86_400_000;

beforeEach(() => { vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }); });
afterEach(() => { vi.useRealTimers(); });

/** As an owner does: takes what there is, whenever there may be something. */
function owner(failures: readonly Failing[] = []) {
  const window = new PartitionWindow<string>({ capacity: 10, span: 80 }, { watermark: '0-0', done: [], failures });
  const taken: string[] = [];
  const pump = (): void => {
    for (let entry = window.take(); entry; entry = window.take()) {
      if (delays.keeps(entry)) continue;
      taken.push(`${entry.id} at ${Math.round(performance.now())}`);
      window.done(entry);
    }
  };
  const delays = new Delays(window, { initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0 }, pump);
  return { window, delays, pump, taken };
}

it('what an owner before has given a delay waits for the rest of it, with its key, and is said in every commit until then', async () => {
  const start = Math.round(performance.now());
  const { window, pump, taken } = owner([['1-0', 2, performance.now() + 700], ['3-0', 1]]);
  for (const [id, key] of [['1-0', 'a'], ['2-0', 'a'], ['3-0', 'b'], ['4-0', undefined]] as const) window.push(id, key, id);
  pump();
  expect(taken).toEqual([`3-0 at ${start}`, `4-0 at ${start}`]);
  expect(window.progress().failures).toEqual([['1-0', 2, expect.closeTo(start + 700, -1)]]);
  await vi.advanceTimersByTimeAsync(702);
  expect(taken.slice(2).map((text) => text.slice(0, 3))).toEqual(['1-0', '2-0']);
  expect(window.progress()).toMatchObject({ watermark: '4-0', failures: [] });
});

it('a delay that is longer than a timer can take is waited for all the same', async () => {
  const { window, delays, pump, taken } = owner();
  window.push('1-0', 'a', '1-0');
  expect(delays.begin(window.take()!, 60 * DAY)).toBe(60 * DAY);
  pump();
  await vi.advanceTimersByTimeAsync(59 * DAY);
  expect(taken).toEqual([]);
  await vi.advanceTimersByTimeAsync(DAY + 10);
  expect(taken).toHaveLength(1);
});

it('nobody waits once it is cleared', () => {
  const { window, delays } = owner();
  window.push('1-0', undefined, '1-0');
  expect(delays.begin(window.take()!, undefined)).toBe(1_000);
  delays.clear();
  expect(vi.getTimerCount()).toBe(0);
});
