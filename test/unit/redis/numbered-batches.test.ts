import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackpressureError, ClosedError, ConnectionError, ReplicationError } from '../../../libs/redis-streams/dist/errors/index.js';
import type { RedisConnection } from '../../../libs/redis-streams/dist/redis/connection.js';
import { NumberedBatches, type BatchHead } from '../../../libs/redis-streams/dist/redis/numbered-batches.js';
import { Batch } from '../../../libs/redis-streams/dist/redis/outbox.js';
import { Failed } from '../../../libs/redis-streams/dist/redis/settle.js';

type Say = string | Error | (() => Promise<string>);

const always = (say: Say): Say[] => Array.from({ length: 1_000 }, () => say);
const LOST = new Error('Connection is closed.');

/** A server that says what it is told to, for each batch in turn; `stored` without an end. */
function world(says: Readonly<Record<string, Say[]>> = {}, giveUpMs?: number, resent: (text: string) => boolean = () => false) {
  const heads: Array<BatchHead & { text?: string }> = [];
  const calls: unknown[][] = [];
  const released: string[] = [];
  const redis = { commands: { call: (...args: unknown[]) => { calls.push(args); return Promise.resolve(1); } } } as unknown as RedisConnection;
  const batches = new NumberedBatches<string, string>(redis, {
    what: 'sending to "x"',
    record: 'record',
    ...(giveUpMs !== undefined && { giveUpMs }),
    run: async (text, head) => {
      heads.push(head);
      const say = says[text]?.shift() ?? `${head[0]} stored`;
      if (say instanceof Error) throw say;
      return typeof say === 'string' ? say : say();
    },
    settle: (batch, answers) => { for (let i = 0; i < batch.count; i++) batch.settle(i, answers.join(' ')); },
    resent,
    release: (text) => { released.push(text); },
  });
  const send = (text: string): Promise<string> => {
    const batch = new Batch<string, string>(text);
    const settled = new Promise<string>((resolve) => batch.add(resolve, 0));
    settled.catch(() => undefined);
    void batches.send(batch);
    return settled;
  };
  return { batches, send, heads, calls, released };
}

describe('NumberedBatches', () => {
  beforeEach(() => { vi.useFakeTimers(); });
  afterEach(() => { vi.useRealTimers(); });

  it('numbers batches, says what is settled, and asks for a longer memory once a minute', async () => {
    const { send, heads } = world();
    expect(await send('a')).toBe('1 stored');
    await send('b');
    await vi.advanceTimersByTimeAsync(61_000);
    await send('c');
    expect(heads).toEqual([[1, 0, 600_000, 600_000], [2, 1, 0, 600_000], [3, 2, 600_000, 600_000]]);
  });

  it('sends again under the same number', async () => {
    const it_ = world({ a: [LOST, new Error('MOVED 1 x'), LOST] });
    const sent = it_.send('a');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await sent).toBe('1 stored');
    expect(it_.heads.map(([sequence]) => sequence)).toEqual([1, 1, 1, 1]);
  });

  it('a batch that has overtaken waits for the one before it, and says nothing of it is settled', async () => {
    let arrive: (answer: string) => void = () => undefined;
    const { send, heads } = world({ a: [() => new Promise((resolve) => { arrive = resolve; })], b: ['GAP'] });
    const [a, b] = [send('a'), send('b')];
    await vi.advanceTimersByTimeAsync(10);
    expect(heads).toEqual([[1, 0, 600_000, 600_000], [2, 0, 600_000, 600_000]]);
    arrive('1 late');
    expect([await a, await b]).toEqual(['1 late', '2 stored']);
    expect(heads[2]).toEqual([2, 1, 0, 600_000]);
  });

  it('sends nothing that would make the server forget an answer that is still asked for', async () => {
    const { send, heads } = world({ a: always(LOST) });
    const a = send('a');
    // Stored, and settled, while the answer to the first is lost again and again.
    const stored = ['b', 'c', 'd'].map(send);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await Promise.all(stored)).toEqual(['2 stored', '3 stored', '4 stored']);
    const e = send('e');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(heads.filter(([sequence]) => sequence === 5)).toEqual([]);
    await vi.advanceTimersByTimeAsync(15_000);
    await expect(a).rejects.toBeInstanceOf(ConnectionError);
    expect(await e).toBe('5 stored');
    expect(heads.at(-1)!.slice(0, 2)).toEqual([5, 4]);
  });

  it('when the one before is given up, its number counts as settled', async () => {
    const { send, heads } = world({ a: [new Error('WRONGTYPE')], b: ['GAP'] });
    const [a, b] = [send('a'), send('b')];
    await expect(a).rejects.toThrow('WRONGTYPE');
    expect(await b).toBe('2 stored');
    expect(heads.at(-1)!.slice(0, 2)).toEqual([2, 1]);
  });

  it('what the server has forgotten is told at once, as unknown', async () => {
    const { send, heads } = world({ a: ['LATE'] });
    await expect(send('a')).rejects.toThrow(/no longer remembers.*unknown/);
    expect(heads).toHaveLength(1);
  });

  it('refused for good after a try whose answer was lost: told as unknown, and why', async () => {
    const NOPERM = new Error("NOPERM this user has no permissions to run the 'evalsha' command");
    const { send } = world({ a: [NOPERM], b: [LOST, NOPERM] });
    await expect(send('a')).rejects.toBe(NOPERM);
    const b = send('b');
    await vi.advanceTimersByTimeAsync(1_000);
    const error = await b.catch((thrown: unknown) => thrown) as Error;
    expect(error).toMatchObject({ code: 'CONNECTION', cause: NOPERM, message: expect.stringMatching(/^sending to "x" was refused \(NOPERM .*\) when .*; whether these messages were stored is unknown$/) as string });
  });

  it('and so it is when the client itself had sent it twice', async () => {
    const WRONGTYPE = new Error('WRONGTYPE');
    const OOM = new Error("OOM command not allowed when used memory > 'maxmemory'.");
    const { send } = world({ a: [WRONGTYPE], b: [WRONGTYPE], c: [OOM] }, undefined, (text) => text !== 'a');
    await expect(send('a')).rejects.toBe(WRONGTYPE);
    await expect(send('b')).rejects.toThrow(/refused \(WRONGTYPE\) when .* unknown/);
    const c = send('c'); // not told as refused: it is asked about again
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await c).toBe('3 stored');
  });

  it.each([[undefined, 15_000], [700, 700]])('gives up after %s: %i ms', async (giveUpMs, ms) => {
    const { send } = world({ a: always(LOST) }, giveUpMs);
    let error: unknown;
    send('a').catch((thrown: unknown) => { error = thrown; });
    await vi.advanceTimersByTimeAsync(ms - 200);
    expect(error).toBeUndefined();
    await vi.advanceTimersByTimeAsync(400);
    expect(error).toBeInstanceOf(ConnectionError);
    expect(String(error)).toMatch(new RegExp(`sending to "x" failed for ${ms} ms \\(Connection is closed.\\); whether these messages were stored is unknown`));
  });

  it('behind one that was given up, what has waited as long is not tried; what is younger is', async () => {
    const it_ = world({ a: always(LOST) }, 1_000);
    const old = new Batch<string, string>('old');
    const failed = new Promise<unknown>((resolve) => old.add((result) => resolve(result instanceof Failed && result.error), 0));
    const a = it_.send('a');
    await vi.advanceTimersByTimeAsync(2_000);
    await expect(a).rejects.toBeInstanceOf(ConnectionError);
    const tries = it_.heads.length;
    void it_.batches.send(old);
    expect(String(await failed)).toMatch(/failed for 1000 ms: .* were not tried/);
    expect(it_.heads).toHaveLength(tries);
    expect(await it_.send('young')).toBe('3 stored');
  });

  it('out of memory is told at once, unless an earlier try may have stored it', async () => {
    const OOM = new Error("OOM command not allowed when used memory > 'maxmemory'.");
    const { send } = world({ a: [OOM], b: [LOST, OOM, OOM], c: [LOST, ...always(OOM)] });
    await expect(send('a')).rejects.toBeInstanceOf(BackpressureError);
    const [b, c] = [send('b'), send('c')];
    await vi.advanceTimersByTimeAsync(16_000);
    expect(await b).toBe('2 stored');
    await expect(c).rejects.toThrow(/OOM.*unknown/);
  });

  it('too few replicas are asked again, and told as that in the end', async () => {
    const few = new ReplicationError('sending to "x"', 2, 1);
    const { send } = world({ a: [few, few], b: always(few) });
    const [a, b] = [send('a'), send('b')];
    await vi.advanceTimersByTimeAsync(16_000);
    expect(await a).toBe('1 stored');
    await expect(b).rejects.toBe(few);
  });

  it('abandon rejects what is under way, and it is not sent again', async () => {
    const it_ = world({ a: always(LOST) });
    const a = it_.send('a');
    await vi.advanceTimersByTimeAsync(250);
    const tries = it_.heads.length;
    expect([it_.batches.abandon(new ClosedError('x')), it_.batches.abandon(new ClosedError('y'))]).toEqual([1, 0]);
    await expect(a).rejects.toBeInstanceOf(ClosedError);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(it_.heads.length).toBeLessThanOrEqual(tries + 1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('close lets the record expire, if there is one', async () => {
    const { batches, send, calls } = world();
    await batches.close();
    expect(calls).toEqual([]);
    await send('a');
    await batches.close();
    expect(calls).toEqual([['PEXPIRE', ['record', 60_000]]]);
  });

  it('leaves the memory of a batch that was sent once to others, and of no other: what was sent before may still be on its way out', async () => {
    const { send, released } = world({ lost: [LOST], early: ['GAP'], refused: [new Error('WRONGTYPE')] });
    const all = ['plain', 'lost', 'early', 'refused', 'late'].map((text) => send(text));
    await vi.runAllTimersAsync();
    await Promise.allSettled(all);
    expect(released).toEqual(['plain', 'late']);
  });

  it('a batch whose turn has not come waits for the nearest that is still to be stored: the one before it may have been refused', async () => {
    let back: (() => void) | undefined;
    const { send, heads } = world({ slow: [() => new Promise((resolve) => (back = () => resolve('1 stored')))], refused: [new Error('WRONGTYPE')], third: ['GAP', 'GAP'] });
    const [slow, refused, third] = ['slow', 'refused', 'third'].map((text) => send(text));
    await expect(refused).rejects.toThrow('WRONGTYPE');
    await vi.advanceTimersByTimeAsync(1_000);
    // Once, and once more when the one before it was refused.
    expect(heads.filter(([sequence]) => sequence === 3)).toHaveLength(2);
    back!();
    expect(await slow).toBe('1 stored');
    expect(await third).toBe('3 stored');
  });
});
