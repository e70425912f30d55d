import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SeatMode } from '../../../libs/redis-streams/dist/fanout/occupants.js';
import { Standing } from '../../../libs/redis-streams/dist/fanout/standing.js';

describe('a process\'s standing in a room', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** A server of which only the answers get lost. */
  function played() {
    let wanted: SeatMode = 'sync';
    const lost = new Set<string>();
    const server = { member: false, turns: [] as number[] };
    const said: string[] = [];
    const answer = <T>(step: string, value: T): Promise<T> => (said.push(step), lost.delete(step) ? Promise.reject(new Error('no answer')) : Promise.resolve(value));
    const standing: Standing = new Standing('r', {
      hear: () => Promise.resolve(),
      deafen: () => undefined,
      join: () => ((server.member = true), answer('join', { after: 1, owed: undefined })),
      leave: () => ((server.member = false), answer('leave', undefined)),
      forgo: (_, turn) => (server.turns.push(turn), answer('forgo', server.member)),
    }, {
      wanted: () => wanted, heard: () => undefined, arrived: () => undefined, shown: () => undefined, idle: () => undefined, trouble: () => undefined,
      excused: (turn) => void said.push(`excused ${turn ?? 'all'}`),
      expelled: () => (said.push('expelled'), standing.lost()),
    });
    const look = async (): Promise<void> => {
      void standing.look();
      await vi.advanceTimersByTimeAsync(10_000);
    };
    return { standing, server, lost, said, look, want: (mode: SeatMode) => void (wanted = mode) };
  }

  it('is not taken for a member\'s behind a leave whose answer was lost, when somebody joins meanwhile', async () => {
    const { standing, server, lost, look, want } = played();
    await look();
    expect(server.member).toBe(true);
    lost.add('leave');
    want('out');
    void standing.look();
    await vi.advanceTimersByTimeAsync(1);
    expect(server.member).toBe(false);
    want('sync');
    await look();
    expect([server.member, standing.mode]).toEqual([true, 'sync']);
  });

  it('stays while one message is forgone, which is said until it is answered', async () => {
    const { standing, server, lost, said, look } = played();
    await look();
    lost.add('forgo');
    standing.forgo(7);
    expect([standing.forgoes(7), standing.forgoes(8)]).toEqual([true, false]);
    await look();
    expect(server).toEqual({ member: true, turns: [7, 7] });
    expect(said).toEqual(['join', 'forgo', 'forgo', 'excused 7']);
    expect(standing.forgoes(7)).toBe(false);
  });

  it('is out when there is none in which it could stay, and joins anew', async () => {
    const { standing, server, said, look } = played();
    await look();
    server.member = false;
    standing.forgo(7);
    await look();
    expect(said).toEqual(['join', 'forgo', 'expelled', 'join']);
    expect(server.member).toBe(true);
  });
});
