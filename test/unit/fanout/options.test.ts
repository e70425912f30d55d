import { describe, expect, it } from 'vitest';
import { resolveFanout, resolveSubscriber } from '../../../libs/redis-streams/dist/fanout/options.js';

describe('options of rooms', () => {
  it('have the documented defaults', () => {
    expect(resolveFanout()).toEqual({ problems: [], value: {
      namespace: undefined, shards: 1, whenEmpty: 'hold', maxBacklog: 10_000, maxRedeliveries: 3, sync: true, ack: 'auto', ackTimeoutMs: 30_000, onFailure: 'nack-retry',
      maxAttempts: 5, backoff: { initialMs: 100, factor: 2, maxMs: 5_000, jitter: 0.5 }, whenEjected: 'rejoin', maxQueued: 1_000,
    } });
    expect(resolveFanout({ delivery: 'at-most-once', maxRedeliveries: 7 }).value.maxRedeliveries).toBe(0);
  });

  it('a subscriber has what the rooms have, but for what it says itself', () => {
    const base = resolveFanout({ ackTimeoutMs: 1_000, onFailure: 'ack', retry: { initialMs: 7, maxAttempts: 9 } }).value;
    expect(resolveSubscriber({}, base, 'x').value).toMatchObject({ ackTimeoutMs: 1_000, onFailure: 'ack', maxAttempts: 9, backoff: { initialMs: 7 } });
    expect(resolveSubscriber({ sync: false, ackTimeoutMs: 10, retry: { maxAttempts: 1 } }, base, 'x')).toMatchObject({ problems: [], value: { sync: false, ackTimeoutMs: 10, maxAttempts: 1, backoff: { initialMs: 7 } } });
    expect(resolveSubscriber({ ackTimeoutMs: 1_001 }, base, 'x').problems).toMatchObject([{ path: 'x.ackTimeoutMs', message: expect.stringMatching(/at most fanout.ackTimeoutMs, 1000/) }]);
  });

  it('are no number, text or list', () => {
    expect(resolveFanout(5 as never).problems).toEqual([{ path: 'fanout', message: 'must be an object (got 5)' }]);
    expect(resolveFanout({ retry: 'often' as never }).problems.map(({ path }) => path)).toEqual(['fanout.retry']);
    expect(resolveSubscriber({ retry: [] as never }, resolveFanout().value, 'x').problems.map(({ path }) => path)).toEqual(['x.retry']);
  });
});
