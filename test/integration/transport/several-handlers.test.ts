import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { DeadLetterException, DropException, RedisStreamsContext, RetryException, streamOptions } from 'nestjs-redis-streams/transport';
import { beforeEach, describe, expect, it } from 'vitest';
import { Net, waitUntil } from './support/net.js';

const net = new Net();
let ran: string[] = [];
let wherever: Array<{ what: string; by: string }> = [];
beforeEach(() => {
  ran = [];
  wherever = [];
});

const OPTIONS = streamOptions({ retry: { maxAttempts: 4, initialMs: 30, factor: 1, jitter: 0 } });

/** Three handlers of one pattern in one instance; what the second does is up to the data. */
function handlersOf(by: string) {
  const run = (who: string, { attempt }: RedisStreamsContext, what?: string): number => {
    ran.push(`${who}${attempt}`);
    if (what !== undefined) wherever.push({ what, by });
    return attempt;
  };
  @Controller()
  class First {
    @EventPattern<unknown>('shared', OPTIONS)
    async a(@Payload() how: string, @Ctx() context: RedisStreamsContext): Promise<void> {
      run('a', context);
      if (how === 'a and b' && context.attempt === 1) throw new Error('a');
    }
    @EventPattern<unknown>('shared', OPTIONS)
    b(@Payload() how: string, @Ctx() context: RedisStreamsContext): void {
      const attempt = run('b', context, how);
      if (how.startsWith('twice') && attempt <= 2) throw new Error('b fails');
      if (how === 'a and b' && attempt <= 2) throw new RetryException('b', { delayMs: 40 });
      if (how === 'dead') throw new DeadLetterException('b gives up');
      if (how === 'drop') throw new DropException();
      if (how === 'never') throw new Error('never');
    }
  }
  @Controller()
  class Second {
    @EventPattern<unknown>('shared')
    async c(@Payload() how: string, @Ctx() context: RedisStreamsContext): Promise<void> {
      const attempt = run('c', context);
      if (how === 'dead' && attempt === 1) throw new Error('c would like to try again');
    }
  }
  return [First, Second];
}

describe('several handlers of one pattern', () => {
  it('run no more once they have succeeded, though another one is late for ever', async () => {
    const late = streamOptions({ maxProcessingMs: 150, retry: { maxAttempts: 3, initialMs: 50, factor: 1, jitter: 0 } });
    @Controller()
    class Both {
      @EventPattern<unknown>('late', late)
      slow(): Promise<void> {
        ran.push('slow');
        return new Promise(() => undefined);
      }
      @EventPattern<unknown>('late', late)
      quick(): void {
        ran.push('quick');
      }
    }
    await net.serve([Both], { shutdown: { drainMs: 100 } });
    const client = net.client();
    await client.emitAsync('late', 1);
    const letters = await net.letters(client, 'event.late');
    await waitUntil(async () => (await letters.count()) === 1, { what: 'it was given up' });
    expect(ran.toSorted()).toEqual(['quick', 'slow', 'slow', 'slow']);
    expect(await net.redis.cli('KEYS', '*late*handlers*')).toEqual([]);
  });

  it.each([
    ['fine', ['a1', 'b1', 'c1'], 0],
    ['twice', ['a1', 'b1', 'b2', 'b3', 'c1'], 0],
    ['a and b', ['a1', 'a2', 'b1', 'b2', 'b3', 'c1'], 0],
    ['drop', ['a1', 'b1', 'c1'], 0],
    ['dead', ['a1', 'b1', 'b2', 'c1', 'c2'], 1],
    ['never', ['a1', 'b1', 'b2', 'b3', 'b4', 'c1'], 1],
  ])('are settled one by one: %s', async (how, expected, dead) => {
    await net.serve(handlersOf('x'));
    const client = net.client();
    const letters = await net.letters(client, 'event.shared');
    await client.emitAsync('shared', how);
    await waitUntil(async () => ran.length >= expected.length && (await letters.count()) === dead, { what: 'all have run' });
    expect(ran.toSorted()).toEqual(expected);
    // What was noted meanwhile is gone with the message.
    if (dead === 0) await waitUntil(async () => (await net.keys('*:handlers:*')).length === 0, { what: 'nothing is left of its progress' });
  });

  it('also when the next attempt is another instance\'s, in a service of several', async () => {
    await Promise.all(['x', 'y', 'z'].map((by) => net.serve(handlersOf(by))));
    const client = net.client();
    let count = 0;
    // Until the test is of something: a retry came to another than who had failed, which a busy machine may not do at once.
    const moved = (): boolean => wherever.some(({ what, by }) => wherever.some((other) => other.what === what && other.by !== by));
    for (let until = performance.now() + 30_000; !moved() && performance.now() < until; ) {
      await Promise.all(Array.from({ length: 20 }, () => client.emitAsync('shared', `twice ${++count}`)));
      await waitUntil(() => ran.length >= count * 5, { what: 'all have run' });
    }
    expect(moved(), 'a retry at another instance').toBe(true);
    const counted = Object.fromEntries(['a1', 'b1', 'b2', 'b3', 'c1'].map((name) => [name, ran.filter((run) => run === name).length]));
    expect(counted).toEqual({ a1: count, b1: count, b2: count, b3: count, c1: count });
  });

  it('after a last attempt leave a dead letter, and nothing besides; a replay begins with all of them', async () => {
    await net.serve(handlersOf('x'));
    const client = net.client();
    const letters = await net.letters(client, 'event.shared');
    await client.emitAsync('shared', 'never');
    await waitUntil(async () => (await letters.count()) === 1, { what: 'it is a dead letter' });
    await waitUntil(async () => (await net.keys('*:handlers:*')).length === 0, { what: 'nothing is left of its progress' });
    ran = [];
    await letters.replayAll();
    await waitUntil(async () => ran.length >= 6 && (await letters.count()) === 1, { what: 'it is a dead letter again' });
    expect(ran.toSorted()).toEqual(['a1', 'b1', 'b2', 'b3', 'b4', 'c1']);
  });

  it('in order, in a partitioned stream: the same', async () => {
    const seen: string[] = [];
    @Controller()
    class Ordered {
      @EventPattern<unknown>('o', streamOptions({ partitions: 2, retry: { initialMs: 20, factor: 1, jitter: 0 } }))
      a(@Payload() n: number): void {
        seen.push(`a ${n}`);
      }
      @EventPattern<unknown>('o', streamOptions({ partitions: 2 }))
      b(@Payload() n: number, @Ctx() { attempt }: RedisStreamsContext): void {
        seen.push(`b ${n}`);
        if (attempt < 3 && n === 1) throw new Error('b');
      }
    }
    await net.serve([Ordered]);
    const client = net.client();
    for (const n of [0, 1, 2]) await client.emitAsync('o', n);
    await waitUntil(() => seen.length >= 8, { what: 'all have run' });
    expect(seen.filter((line) => line.startsWith('a')).toSorted()).toEqual(['a 0', 'a 1', 'a 2']);
    expect(seen.filter((line) => line.startsWith('b')).toSorted()).toEqual(['b 0', 'b 1', 'b 1', 'b 1', 'b 2']);
  });
});
