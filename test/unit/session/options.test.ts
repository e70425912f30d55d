import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resolveSessionOptions } from '../../../libs/redis-streams/dist/session/options.js';

describe('resolveSessionOptions', () => {
  it('applies the documented defaults', () => {
    expect(resolveSessionOptions()).toEqual({ value: { ttlMs: 10_000, heartbeatMs: 3_333, marginMs: 500 }, problems: [] });
    expect(resolveSessionOptions({ ttlMs: 200 })).toEqual({ value: { ttlMs: 200, heartbeatMs: 66, marginMs: 10 }, problems: [] });
  });

  it('every ttl allowed gives consistent defaults', () => {
    fc.assert(fc.property(fc.integer({ min: 200, max: 3_600_000 }), (ttlMs) => {
      const { value, problems } = resolveSessionOptions({ ttlMs });
      expect(problems).toEqual([]);
      expect(value.heartbeatMs * 2 + value.marginMs).toBeLessThan(value.ttlMs);
    }));
  });

  it('checks the relations, and reports every problem with its path', () => {
    const { problems } = resolveSessionOptions({ ttlMs: 1_000, heartbeatMs: 501, marginMs: 251 }, 'session');
    expect(problems.map(({ path }) => path)).toEqual(['session.heartbeatMs', 'session.marginMs']);
    expect(problems[0]!.message).toMatch(/from 20 to 500.*half of ttlMs.*got 501/);
  });

  it.each([NaN, Infinity, -1, 0, 199, '1000', {}, true])('refuses a ttl of %j', (ttlMs) => {
    expect(resolveSessionOptions({ ttlMs: ttlMs as never }).problems).toMatchObject([{ path: 'session.ttlMs' }]);
  });
});
