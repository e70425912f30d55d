import { createHash } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import type { CommandChannel } from '../../../libs/redis-streams/dist/redis/command-channel.js';
import { fieldsOf, streamsOf } from '../../../libs/redis-streams/dist/redis/compat.js';
import { Deadlines, withDeadline } from '../../../libs/redis-streams/dist/redis/deadline.js';
import { ScriptRunner } from '../../../libs/redis-streams/dist/redis/script-runner.js';
import { sleep } from '../../../libs/redis-streams/dist/redis/sleep.js';

describe('withDeadline', () => {
  it('passes on what settles in time, and leaves no timer', async () => {
    vi.useFakeTimers();
    try {
      expect(await withDeadline(Promise.resolve(5), 1_000, () => new Error('late'))).toBe(5);
      await expect(withDeadline(Promise.reject(new Error('own')), 1_000, () => new Error('late'))).rejects.toThrow('own');
      expect(vi.getTimerCount()).toBe(0);
      const late = expect(withDeadline(new Promise(() => undefined), 1_000, () => new Error('late'))).rejects.toThrow('late');
      await vi.advanceTimersByTimeAsync(1_001); // its verdict falls one turn after the timer
      await late;
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('Deadlines', () => {
  const never = (): Promise<never> => new Promise(() => undefined);
  const inFakeTime = async (test: () => Promise<void>): Promise<void> => {
    vi.useFakeTimers();
    try {
      await test();
    } finally {
      vi.useRealTimers();
    }
  };

  it('pass on what settles in time, by one timer that ends by itself', () => inFakeTime(async () => {
    const deadlines = new Deadlines(1_000);
    const late = (): Error => new Error('late');
    expect(await deadlines.watch(Promise.resolve(5), late)).toBe(5);
    await expect(deadlines.watch(Promise.reject(new Error('own')), late)).rejects.toThrow('own');
    await expect(deadlines.watch(Promise.reject('a text' as never), late)).rejects.toThrow('a text');
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(1_001);
    expect(vi.getTimerCount()).toBe(0);
  }));

  it('reject each at its own moment, also what began while the timer ran for another', () => inFakeTime(async () => {
    const deadlines = new Deadlines(1_000);
    const told: string[] = [];
    const watch = (name: string): void => void deadlines.watch(never(), () => new Error(name)).catch((error: Error) => told.push(error.message));
    await deadlines.watch(Promise.resolve(), () => new Error('settled'));
    await vi.advanceTimersByTimeAsync(400);
    watch('first');
    await vi.advanceTimersByTimeAsync(300);
    watch('second');
    await vi.advanceTimersByTimeAsync(698);
    expect(told).toEqual([]);
    await vi.advanceTimersByTimeAsync(10);
    expect(told).toEqual(['first']);
    await vi.advanceTimersByTimeAsync(300);
    expect(told).toEqual(['first', 'second']);
    expect(vi.getTimerCount()).toBe(0);
  }));

  it('have one timer, also when what is said about one that was late begins another', () => inFakeTime(async () => {
    const deadlines = new Deadlines(1_000);
    const begun: Array<Promise<unknown>> = [];
    const late = expect(deadlines.watch(never(), () => {
      begun.push(deadlines.watch(Promise.resolve(5), () => new Error('late')));
      return new Error('first');
    })).rejects.toThrow('first');
    await vi.advanceTimersByTimeAsync(1_001);
    await late;
    expect(await Promise.all(begun)).toEqual([5]);
    expect(vi.getTimerCount()).toBe(1);
  }));

  it('keep the process while something is waited for, and only then', async () => {
    const deadlines = new Deadlines(60_000);
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    let settle: () => void = () => undefined;
    const work = deadlines.watch(new Promise<void>((resolve) => (settle = resolve)), () => new Error('late'));
    expect(timers()).toBe(before + 1);
    settle();
    await work;
    expect(timers()).toBe(before);
    const more = deadlines.watch(new Promise<void>((resolve) => (settle = resolve)), () => new Error('late'));
    expect(timers()).toBe(before + 1);
    settle();
    await more;
    expect(timers()).toBe(before);
  });
});

describe('sleep', () => {
  it('ends early on the signal, at once on one that fired, and leaves neither timer nor listener', async () => {
    const controller = new AbortController();
    const removed = vi.spyOn(controller.signal, 'removeEventListener');
    const slept = sleep(60_000, controller.signal);
    controller.abort();
    await slept;
    expect(removed).toHaveBeenCalledTimes(1);
    await sleep(60_000, controller.signal);
    await sleep(1);
  });
});

describe('replies of either protocol', () => {
  const entries = [['1-0', ['a', 'b']]];
  it.each([
    ['none', null, []], ['RESP2', [['s', entries]], [['s', entries]]], ['a map', new Map([['s', entries]]), [['s', entries]]],
    ['an object', { s: entries }, [['s', entries]]], ['a flat list', ['s', entries, 't', []], [['s', entries], ['t', []]]],
  ])('streams of %s', (_, reply, expected) => { expect(streamsOf(reply)).toEqual(expected); });

  it.each([['a list', ['a', 1, 'b', 2]], ['a map', new Map([['a', 1], ['b', 2]])], ['an object', { a: 1, b: 2 }]])('fields of %s', (_, reply) => {
    expect([...fieldsOf(reply)]).toEqual([['a', 1], ['b', 2]]);
  });
  it('fields of nothing', () => { expect(fieldsOf(null).size).toBe(0); });
});

describe('ScriptRunner', () => {
  it('sends the source when the server has forgotten the script, and only then', async () => {
    const sent: string[] = [];
    let forgets = true;
    const channel = {
      call: async (command: string) => {
        sent.push(command);
        if (command === 'EVALSHA' && forgets) throw new Error('NOSCRIPT No matching script.');
        return 'ok';
      },
    } as unknown as CommandChannel;
    const runner = new ScriptRunner(channel);
    expect(await runner.run('heartbeat', ['a', 'b'], ['c'])).toBe('ok');
    forgets = false;
    await runner.run('heartbeat', ['a', 'b'], ['c']);
    expect(sent).toEqual(['EVALSHA', 'EVAL', 'EVALSHA']);
    const failing = new ScriptRunner({ call: async () => { throw new Error('WRONGTYPE x'); } } as unknown as CommandChannel);
    await expect(failing.run('heartbeat', [], [])).rejects.toThrow('WRONGTYPE');
  });

  it('calls that begin together on a server without script flags all find out', async () => {
    const known = new Set<string>();
    const channel = {
      call: async (command: string, [text]: readonly string[]) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (command === 'EVALSHA') {
          if (known.has(text!)) return 'ok';
          throw new Error('NOSCRIPT No matching script.');
        }
        if (text!.startsWith('#!')) throw new Error("ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'");
        known.add(createHash('sha1').update(text!).digest('hex'));
        return 'ok';
      },
    } as unknown as CommandChannel;
    const runner = new ScriptRunner(channel);
    expect(await Promise.all([runner.run('heartbeat', [], []), runner.run('join', [], []), runner.run('register', [], [])])).toEqual(['ok', 'ok', 'ok']);
  });
});
