import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RoomSender } from '../../../libs/redis-streams/dist/fanout/sender.js';
import { BackpressureError, CommandTimeoutError, ConnectionError } from '../../../libs/redis-streams/dist/errors/index.js';
import type { OutgoingRoomMessage } from '../../../libs/redis-streams/dist/fanout/store.js';

const SENT = 3_000;

describe('sends that fail', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const failing = (errors: (tries: number) => Error): RoomSender => {
    let tries = 0;
    const store = { send: () => Promise.reject(errors(++tries)), retire: () => Promise.resolve() };
    return new RoomSender({ store: store as never, listen: () => Promise.resolve(), tend: () => undefined, onError: () => undefined });
  };
  const send = async (sender: RoomSender): Promise<unknown> => {
    const sent = sender.send({ room: 'r', priority: 0, payload: '1', awaited: false }).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(30_000);
    return sent;
  };

  it.each([
    ['a server that does not answer', () => new CommandTimeoutError('EVALSHA', 2_000)],
    ['a refusal behind an answer that was lost', (tries: number) => (tries === 1 ? new CommandTimeoutError('EVALSHA', 2_000) : new Error('NOPERM this user has no permissions'))],
  ])('say that it is unknown what became of them: %s', async (_, errors) => {
    const error = await send(failing(errors));
    expect(error).toBeInstanceOf(ConnectionError);
    expect((error as Error).message).toMatch(/whether these messages were taken is unknown$/);
  });

  it('wait within 64 MiB as they travel, whatever a character takes', async () => {
    const sender = failing(() => new CommandTimeoutError('EVALSHA', 2_000));
    const payload = '€'.repeat(12_000_000);
    const first = sender.send({ room: 'r', priority: 0, payload: '1', awaited: false }).catch(() => undefined);
    await vi.advanceTimersByTimeAsync(1);
    const waits = sender.send({ room: 'r', priority: 0, payload, awaited: false }).catch(() => undefined);
    await expect(sender.send({ room: 'r', priority: 0, payload, awaited: false })).rejects.toBeInstanceOf(BackpressureError);
    await vi.advanceTimersByTimeAsync(60_000);
    await Promise.all([first, waits]);
  });

  it('say nothing of the kind when they were refused at once', async () => {
    expect(await send(failing(() => new Error('NOPERM this user has no permissions')))).toMatchObject({ code: 'CONNECTION', message: 'sending to rooms failed: NOPERM this user has no permissions' });
  });
});

describe('sends that wait for acknowledgements', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('ask in few calls, one after the other, however many wait and however slow the answers are', async () => {
    let [id, calls, underWay, most, outcomes] = [0, 0, 0, 0, false];
    const store = {
      keys: { senders: 'acked:' },
      send: (_: string, __: number, items: readonly OutgoingRoomMessage[]) => Promise.resolve(items.map(() => String(++id))),
      outcomes: async (room: string, ids: readonly string[]) => {
        calls++;
        most = Math.max(most, ++underWay);
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        underWay--;
        return outcomes ? ids.map((each) => ({ id: each, acknowledged: 2, ejected: [], room })) : [];
      },
      forgetOutcomes: () => Promise.resolve(),
      retire: () => Promise.resolve(),
    };
    const sender = new RoomSender({ store: store as never, listen: () => Promise.resolve(), tend: () => undefined, onError: () => undefined });
    const sent = Array.from({ length: SENT }, (_, n) => sender.sendAwaited({ room: `room ${n % 2}`, priority: 0, payload: '1', awaited: true }, undefined));
    await vi.advanceTimersByTimeAsync(20_000);
    expect(most).toBe(1);
    expect(calls).toBeLessThan(20);
    // Their word never comes: the next question finds what is kept.
    outcomes = true;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await Promise.all(sent)).toHaveLength(SENT);
    await sender.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
