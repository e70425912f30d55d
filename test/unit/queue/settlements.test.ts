import { describe, expect, it } from 'vitest';
import { HeldMessage } from '../../../libs/redis-streams/dist/queue/held-message.js';
import { Settlements } from '../../../libs/redis-streams/dist/queue/settlements.js';
import type { Outcomes, QueueShardStore } from '../../../libs/redis-streams/dist/queue/store.js';

const held = (n: number): HeldMessage => new HeldMessage({ id: `${n}-0`, key: undefined, data: '1', headers: undefined, other: undefined });
const turns = async (count = 20): Promise<void> => { for (let i = 0; i < count; i++) await Promise.resolve(); };

/** Settlements against a server that answers when it is told to. */
function setUp() {
  const calls: Array<{ session: string; outcomes: Outcomes; answer(due?: number): void; fail(error: Error): void }> = [];
  const told: string[] = [];
  let session: string | undefined = 's';
  const store = {
    settle: (by: string, outcomes: Outcomes) => new Promise<number | undefined>((resolve, reject) => calls.push({ session: by, outcomes, answer: resolve, fail: reject })),
  } as unknown as QueueShardStore;
  const settlements = new Settlements(store, {
    session: () => session,
    settled: ({ done, again, givenUp }) => told.push(`settled ${done.length} ${again.length} ${givenUp.length}`),
    refused: (by) => {
      told.push(`refused ${by}`);
      session = undefined;
      settlements.drop();
    },
    trouble: (error) => told.push(`trouble ${error.message}`),
  });
  return { settlements, calls, told, lose: () => { session = undefined; settlements.drop(); } };
}

const outcomeOf = async (promise: Promise<boolean>): Promise<boolean | undefined> => {
  let value: boolean | undefined;
  promise.then((stored) => { value = stored; }, () => undefined);
  await turns();
  return value;
};

describe('Settlements', () => {
  it('what is said in one turn is one call; what comes while it is under way is the next', async () => {
    const { settlements, calls, told } = setUp();
    settlements.handled(held(1));
    settlements.retry(held(2), 50);
    settlements.giveUp(held(3), ['reason', 'x']);
    settlements.handled(held(4));
    await turns();
    settlements.handled(held(5));
    settlements.handled(held(6));
    await turns();
    expect(calls).toHaveLength(1);
    expect(calls[0]!.outcomes).toMatchObject({ done: [{ id: '1-0' }, { id: '4-0' }], again: [{ delayMs: 50 }], givenUp: [{ fields: ['reason', 'x'] }] });
    calls[0]!.answer(-1);
    await turns();
    expect(calls[1]!.outcomes.done.map(({ id }) => id)).toEqual(['5-0', '6-0']);
    calls[1]!.answer(-1);
    await turns();
    expect(told).toEqual(['settled 2 1 1', 'settled 2 0 0']);
  });

  it('who asks is told when what was said before is stored, whatever was said since', async () => {
    const { settlements, calls } = setUp();
    settlements.handled(held(1));
    const first = settlements.stored();
    await turns();
    settlements.handled(held(2));
    const second = settlements.stored();
    calls[0]!.answer(-1);
    expect(await outcomeOf(first)).toBe(true);
    expect(await outcomeOf(second)).toBeUndefined();
    calls[1]!.answer(-1);
    expect(await outcomeOf(second)).toBe(true);
    expect(await settlements.stored()).toBe(true);
  });

  it('more than one call carries: who asks is told with the last part', async () => {
    const { settlements, calls } = setUp();
    for (let n = 0; n < 9_000; n++) settlements.handled(held(n));
    const stored = settlements.stored();
    for (const [i, count] of [4_000, 4_000, 1_000].entries()) {
      await turns();
      expect(calls[i]!.outcomes.done).toHaveLength(count);
      expect(await outcomeOf(stored)).toBeUndefined();
      calls[i]!.answer(-1);
    }
    expect(await outcomeOf(stored)).toBe(true);
    expect(calls).toHaveLength(3);
  });

  it('a session that is over: refused once, who asks is told that it is not stored, and nothing is said for it again', async () => {
    const { settlements, calls, told } = setUp();
    settlements.handled(held(1));
    const stored = settlements.stored();
    await turns();
    settlements.handled(held(2));
    const later = settlements.stored();
    calls[0]!.answer(undefined);
    expect(await outcomeOf(stored)).toBe(false);
    expect(await outcomeOf(later)).toBe(false);
    expect([calls.length, told]).toEqual([1, ['refused s']]);
  });

  it('a call that fails for the moment is repeated as it was; for good, it is told once', async () => {
    const { settlements, calls, told, lose } = setUp();
    settlements.handled(held(1));
    await turns();
    calls[0]!.fail(Object.assign(new Error('READONLY You can not write'), { name: 'ReplyError' }));
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(calls).toHaveLength(2);
    expect(calls[1]!.outcomes).toBe(calls[0]!.outcomes);
    const stored = settlements.stored();
    calls[1]!.fail(Object.assign(new Error('NOPERM no'), { name: 'ReplyError' }));
    await turns();
    expect(told).toEqual(['trouble NOPERM no']);
    lose();
    expect(await outcomeOf(stored)).toBe(false);
  });
});
