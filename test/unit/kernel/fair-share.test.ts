import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { handOverCount, lastingSurplus, type Surplus } from '../../../libs/redis-streams/dist/kernel/fair-share.js';

const count = fc.integer({ min: 0, max: 10_000 });

describe('handOverCount', () => {
  it('asks for the surplus, once', () => {
    expect(handOverCount(60, 0, 20)).toBe(40);
    expect(handOverCount(60, 40, 20)).toBe(0);
    expect(handOverCount(60, 10, 20)).toBe(30);
  });

  it('leaves a surplus of a twentieth alone', () => {
    expect(handOverCount(105, 0, 100)).toBe(0);
    expect(handOverCount(106, 0, 100)).toBe(6);
    expect(handOverCount(20, 0, 20)).toBe(0);
  });

  it('never leaves less than the share, never asks for what is not held', () => {
    fc.assert(fc.property(count, count, count, (held, asked, share) => {
      const more = handOverCount(held, Math.min(asked, held), share);
      expect(more).toBeGreaterThanOrEqual(0);
      if (more > 0) expect(held - Math.min(asked, held) - more).toBe(share);
    }));
  });

  it('comes to rest: what was asked is not asked again', () => {
    fc.assert(fc.property(count, count, (held, share) => {
      expect(handOverCount(held, handOverCount(held, 0, share), share)).toBe(0);
    }));
  });
});

describe('lastingSurplus', () => {
  it('hands over what was too many all the time, and only then', () => {
    let surplus: Surplus | undefined;
    const look = (asked: number, now: number): number => {
      const result = lastingSurplus(surplus, asked, now, 900);
      surplus = result.surplus;
      return result.handOver;
    };
    expect([look(5, 0), look(8, 300), look(3, 600), look(9, 899), look(9, 900)]).toEqual([0, 0, 0, 0, 3]);
    expect([look(4, 1_000), look(0, 1_500), look(4, 1_950), look(4, 2_800), look(4, 2_850)]).toEqual([0, 0, 0, 0, 4]);
  });
});
