import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Answering, type Manner } from '../../../libs/redis-streams/dist/fanout/answering.js';

/** How the acknowledgement of the next message is said. */
async function next(answering: Answering, afterUs = 100, plain = true, isMember = true): Promise<Manner> {
  answering.shown(afterUs);
  let said: Manner | undefined;
  await answering.acknowledge(plain, async (manner) => {
    said = manner;
    return isMember;
  });
  return said!;
}

describe('how an acknowledgement is said', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
  afterEach(() => void vi.useRealTimers());

  it('in short where messages follow each other fast, and the server has said within a second that the process is a member', async () => {
    const answering = new Answering();
    expect([await next(answering), await next(answering), await next(answering)]).toEqual(['asked', 'short', 'short']);
    vi.advanceTimersByTime(999);
    expect([await next(answering), await next(answering, 20_000), await next(answering, 19_999)]).toEqual(['short', 'asked', 'short']);
    expect([await next(answering, 1, false), await next(answering)]).toEqual(['asked', 'short']);
    vi.advanceTimersByTime(1_000);
    expect([await next(answering, 1, true, false), await next(answering), await next(answering)]).toEqual(['asked', 'asked', 'short']);
    answering.lost();
    expect(await next(answering)).toBe('asked');
  });

  it('in full after one that was not taken: the next one, then twice as many each time, 32 at most; and from the beginning once one was', async () => {
    const answering = new Answering();
    await next(answering);
    const inFull = async (): Promise<number> => {
      answering.again();
      for (let count = 0; ; count++) if ((await next(answering)) === 'short') return count;
    };
    const counts: number[] = [await next(answering) === 'short' ? 0 : 1];
    for (let i = 0; i < 8; i++) counts.push(await inFull());
    expect(counts).toEqual([0, 1, 2, 4, 8, 16, 32, 32, 32]);
    expect(await next(answering)).toBe('short');
    expect(await inFull()).toBe(1);
    // Heard from two who were told so at once: no more than from one.
    answering.again();
    expect([await next(answering), await next(answering), await next(answering)]).toEqual(['told', 'told', 'short']);
  });
});
