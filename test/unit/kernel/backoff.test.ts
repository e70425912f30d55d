import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffDelay, DEFAULT_BACKOFF } from '../../../libs/redis-streams/dist/kernel/backoff.js';

const options = fc.record({
  initialMs: fc.integer({ min: 0, max: 100_000 }),
  factor: fc.double({ min: 1, max: 100, noNaN: true }),
  maxMs: fc.integer({ min: 100_000, max: 86_400_000 }),
  jitter: fc.double({ min: 0, max: 1, noNaN: true }),
});
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('backoffDelay', () => {
  it('is the documented curve without jitter', () => {
    const plain = { ...DEFAULT_BACKOFF, jitter: 0 };
    expect([1, 2, 3, 4, 7, 8, 1_000_000].map((failures) => backoffDelay(plain, failures, 0.5))).toEqual([1_000, 2_000, 4_000, 8_000, 60_000, 60_000, 60_000]);
  });

  it('stays between the jittered delay and the whole one, a whole number, whatever the count', () => {
    fc.assert(fc.property(options, fc.integer({ min: -5, max: 2 ** 31 }), random, (backoff, failures, r) => {
      const full = backoffDelay({ ...backoff, jitter: 0 }, failures, r);
      const delay = backoffDelay(backoff, failures, r);
      expect(Number.isSafeInteger(delay)).toBe(true);
      expect(delay).toBeLessThanOrEqual(full);
      expect(delay).toBeGreaterThanOrEqual(Math.floor(full * (1 - backoff.jitter)));
      expect(full).toBeLessThanOrEqual(backoff.maxMs);
    }));
  });

  it('never shrinks with more failures', () => {
    fc.assert(fc.property(options, fc.integer({ min: 1, max: 200 }), random, (backoff, failures, r) => {
      expect(backoffDelay(backoff, failures + 1, r)).toBeGreaterThanOrEqual(backoffDelay(backoff, failures, r));
    }));
  });
});
