import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isValid, renewed } from '../../../libs/redis-streams/dist/kernel/session-clock.js';

const times = fc.record({
  sentAt: fc.double({ min: 0, max: 1e9, noNaN: true }),
  ttlMs: fc.integer({ min: 200, max: 3_600_000 }),
  travelMs: fc.double({ min: 0, max: 10_000, noNaN: true }),
});

describe('the session clock', () => {
  it('is never valid at or past the server\'s deadline, however long the heartbeat travelled', () => {
    fc.assert(fc.property(times, fc.double({ min: 0.001, max: 0.25, noNaN: true }), ({ sentAt, ttlMs, travelMs }, margin) => {
      const marginMs = Math.max(1, ttlMs * margin);
      const clock = renewed({ ttlMs, marginMs }, sentAt);
      const serverDeadline = sentAt + travelMs + ttlMs;
      expect(isValid(clock, serverDeadline)).toBe(false);
      expect(isValid(clock, serverDeadline - marginMs + 0.001)).toBe(false);
    }));
  });

  it('is valid from the sending on until ttl less margin', () => {
    const clock = renewed({ ttlMs: 1_000, marginMs: 50 }, 5_000);
    expect(clock.validUntil).toBe(5_950);
    expect(isValid(clock, 5_000)).toBe(true);
    expect(isValid(clock, 5_949.999)).toBe(true);
    expect(isValid(clock, 5_950)).toBe(false);
  });
});
