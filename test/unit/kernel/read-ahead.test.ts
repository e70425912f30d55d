import { describe, expect, it } from 'vitest';
import { ReadAhead } from '../../../libs/redis-streams/dist/kernel/read-ahead.js';

/** So many messages per ms, told every 5 ms for so long. */
function work(ahead: ReadAhead, perMs: number, from: number, ms: number): number {
  for (let now = from + 5; now <= from + ms; now += 5) ahead.handled(perMs * 5, now);
  return from + ms;
}

describe('ReadAhead', () => {
  it('stays small for a slow consumer', () => {
    const ahead = new ReadAhead(256, 2_048, 0);
    work(ahead, 1, 0, 10_000);
    expect(ahead.size).toBe(256);
  });

  it('grows to what is handled in a tenth of a second, at most to the maximum', () => {
    const ahead = new ReadAhead(256, 2_048, 0);
    const now = work(ahead, 6, 0, 5_000);
    expect(ahead.size).toBe(1_024);
    work(ahead, 100, now, 5_000);
    expect(ahead.size).toBe(2_048);
  });

  it('grows at once when work runs out before more is here', () => {
    const ahead = new ReadAhead(10, 35, 0);
    ahead.ranDry();
    expect(ahead.size).toBe(20);
    ahead.ranDry();
    expect(ahead.size).toBe(35);
  });

  it('shrinks to a second of work, not below the minimum', () => {
    const ahead = new ReadAhead(16, 2_048, 0);
    let now = work(ahead, 100, 0, 5_000);
    now = work(ahead, 0.2, now, 1_000);
    expect(ahead.size).toBe(200);
    ahead.handled(0, now + 60_000); // idle
    expect(ahead.size).toBe(16);
  });

  it('a fixed number stays what it is', () => {
    const ahead = new ReadAhead(10, 10, 0);
    ahead.ranDry();
    work(ahead, 100, 0, 1_000);
    work(ahead, 0.001, 1_000, 10_000);
    expect(ahead.size).toBe(10);
  });
});
