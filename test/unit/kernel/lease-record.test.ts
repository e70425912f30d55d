import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseLeaseRecord } from '../../../libs/redis-streams/dist/kernel/lease-record.js';

describe('parseLeaseRecord', () => {
  it('reads what the scripts write', () => {
    expect(parseLeaseRecord('1700000000000-3 1700000000000123 pod-1:ab12 3 1 1700000000001 pod-0:cd34 2')).toEqual({
      entryId: '1700000000000-3', token: 1_700_000_000_000_123, owner: 'pod-1:ab12', attempt: 3, failures: 1, since: 1_700_000_000_001, previous: 'pod-0:cd34', takeovers: 2,
    });
    expect(parseLeaseRecord('1-0 0 queued 0 0 1 - 0')).not.toHaveProperty('previous');
  });

  it('answers undefined to anything else, and never throws', () => {
    for (const text of ['', ' ', '1-0', '1-0 0 queued 0 0 1', '1-0 0 queued 0 0 1 - 0 more']) expect(parseLeaseRecord(text)).toBeUndefined();
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => { parseLeaseRecord(text); }));
  });
});
