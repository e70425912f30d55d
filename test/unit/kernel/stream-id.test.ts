import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareStreamIds, isStreamId } from '../../../libs/redis-streams/dist/kernel/stream-id.js';

const part = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const id = fc.oneof(fc.tuple(part, part).map(([ms, seq]) => `${ms}-${seq}`), part.map(String));

describe('compareStreamIds', () => {
  it('compares numbers, not text, and exactly beyond 2^53', () => {
    expect(compareStreamIds('9-0', '10-0')).toBe(-1);
    expect(compareStreamIds('5-10', '5-9')).toBe(1);
    expect(compareStreamIds('9007199254740993-0', '9007199254740992-0')).toBe(1);
    expect(compareStreamIds('7', '7-0')).toBe(0);
  });

  it('is a total order', () => {
    fc.assert(fc.property(id, id, id, (a, b, c) => {
      expect(compareStreamIds(a, a)).toBe(0);
      expect(compareStreamIds(a, b) + compareStreamIds(b, a)).toBe(0);
      if (compareStreamIds(a, b) <= 0 && compareStreamIds(b, c) <= 0) expect(compareStreamIds(a, c)).toBeLessThanOrEqual(0);
    }));
  });
});

describe('isStreamId', () => {
  it('takes every id the server gives', () => {
    fc.assert(fc.property(id, (text) => { expect(isStreamId(text)).toBe(true); }));
  });

  it.each(['', '-', '$', '+', '>', '1-', '-1', '1-2-3', 'a-1', '1 -2', ' 1-1', '1-1\n', '1.5-0', '123456789012345678901-0', '18446744073709551616-0', '0-18446744073709551616', undefined, null, 5, {}])('refuses %j', (value) => {
    expect(isStreamId(value)).toBe(false);
  });
});
