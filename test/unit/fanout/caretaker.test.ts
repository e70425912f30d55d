import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ConnectionError } from '../../../libs/redis-streams/dist/errors/index.js';
import { Caretaker } from '../../../libs/redis-streams/dist/fanout/caretaker.js';
import { resolveFanout } from '../../../libs/redis-streams/dist/fanout/options.js';

const NOTHING = { serverUs: 1, dead: [], overdue: [], old: [], born: [], nextDeadlineMs: -1, nextSessionMs: -1 };
const SESSION = { ttlMs: 60_000, heartbeatMs: 20_000, marginMs: 100 };

describe('a caretaker of rooms', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function caretaker(look: () => Promise<unknown>, session: () => string | undefined = () => 's'): { taker: Caretaker; looks: () => number; errors: Error[]; peers: number[] } {
    let looks = 0;
    const errors: Error[] = [];
    const peers: number[] = [];
    const store = { look: () => (looks++, look()) } as never;
    const taker = new Caretaker(store, resolveFanout({ ackTimeoutMs: 1_000 }).value, SESSION, {
      events: undefined as never,
      latency: { compare: () => undefined } as never,
      session,
      expectPeer: (ms) => void peers.push(ms),
      owing: () => [],
      fetched: () => undefined,
      onError: (error) => void errors.push(error),
    });
    return { taker, looks: () => looks, errors, peers };
  }

  it('looks again soon after a look that failed in passing, as long as it has a session', async () => {
    let failures = 2;
    const { taker, looks, errors } = caretaker(() => (failures-- > 0 ? Promise.reject(new ConnectionError('away')) : Promise.resolve(NOTHING)));
    taker.look();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(looks()).toBe(3);
    expect(errors).toEqual([]);
    const without = caretaker(() => Promise.reject(new ConnectionError('away')), () => undefined);
    without.taker.look();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(without.looks()).toBe(1);
  });

  it('looks when the time of a message is over that was shown after its last look; one timer does for all', async () => {
    const { taker, looks, peers } = caretaker(() => Promise.resolve({ ...NOTHING, nextSessionMs: 77 }));
    taker.look();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(looks()).toBe(1);
    expect(peers).toEqual([77]);
    for (let i = 0; i < 100; i++) taker.shown();
    expect(vi.getTimerCount()).toBe(1);
    // A look that finds nothing may be older than the message.
    taker.look();
    await vi.advanceTimersByTimeAsync(1_600);
    expect(looks()).toBe(3);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(looks()).toBe(3);
    taker.shown();
    taker.close();
    taker.shown();
    expect(vi.getTimerCount()).toBe(0);
  });
});
