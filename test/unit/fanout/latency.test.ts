import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { RoomLatency } from '../../../libs/redis-streams/dist/fanout/latency.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'], now: 0 }));
afterEach(() => void vi.useRealTimers());

it('is measured on the server\'s clock, whatever the local one says', () => {
  const latency = new RoomLatency();
  latency.arrived(5);
  expect(latency.summary()).toBeUndefined();
  // The server is an hour ahead; the answer took 2 ms.
  const hour = 3_600_000;
  vi.advanceTimersByTime(2);
  latency.compare((hour + 1) * 1_000, 2);
  for (const ms of [1, 2, 3, 10]) latency.arrived(hour + 2 - ms);
  const { min, mean, p50, p99, max } = latency.summary()!;
  expect([min, p50, max].map(Math.round)).toEqual([1, 2, 10]);
  expect(Math.round(mean)).toBe(4);
  expect(Math.round(p99)).toBe(10);
});

it('trusts the quickest question, and never goes below zero', () => {
  const latency = new RoomLatency();
  latency.compare(1_000_000, 2);
  latency.compare(9_000_000, 500);
  latency.arrived(1_001);
  latency.arrived(5_000);
  expect(latency.summary()!.min).toBeGreaterThan(0);
  expect(latency.summary()!.max).toBeLessThan(5);
});
