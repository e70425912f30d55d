import { AsyncLocalStorage } from 'node:async_hooks';
import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { NoHandlerError, RedisStreamsContext, RedisStreamsRecord } from 'nestjs-redis-streams/transport';
import { concatMap, delay, EMPTY, from, interval, lastValueFrom, map, NEVER, type Observable, of, take, tap, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { ask, askAll, failureOf, Net } from './support/net.js';

const net = new Net();

class Custom extends Error {
  override name = 'Custom';
}

@Controller()
class Handlers {
  @MessagePattern({ cmd: 'sum', of: 'numbers' })
  sum(@Payload() numbers: number[]): number {
    return numbers.reduce((a, b) => a + b, 0);
  }
  @MessagePattern('echo')
  async echo(@Payload() data: unknown): Promise<unknown> {
    return data;
  }
  @MessagePattern('many')
  many(@Payload() n: number): Observable<number> {
    return interval(1).pipe(take(n));
  }
  @MessagePattern('at once')
  atOnce(@Payload() n: number): Observable<number> {
    return from(Array.from({ length: n }, (_, i) => i));
  }
  @MessagePattern('promised')
  async promised(@Payload() n: number): Promise<Observable<string>> {
    return of(n).pipe(concatMap((x) => of(`${x}a`, `${x}b`).pipe(delay(2))));
  }
  @MessagePattern('empty')
  empty(): Observable<never> {
    return EMPTY;
  }
  @MessagePattern('never')
  never(): Observable<never> {
    return NEVER;
  }
  @MessagePattern('nothing')
  nothing(): void {}
  @MessagePattern('holes')
  holes(): Observable<unknown> {
    return of(1, undefined, null, 0, '', false);
  }
  @MessagePattern('fails')
  fails(@Payload() how: string): unknown {
    if (how === 'object') throw new RpcException({ code: 42, why: 'object' });
    if (how === 'string') throw new RpcException('string');
    if (how === 'ours') throw new NoHandlerError('p', 5);
    if (how === 'later') return of(1, 2, 3).pipe(map((n) => { if (n === 3) throw new RpcException({ code: 3 }); return n; }));
    if (how === 'stream') return throwError(() => new RpcException('stream'));
    throw new Custom('plain');
  }
  @MessagePattern('rejects')
  async rejects(): Promise<never> {
    throw new RpcException({ code: 7 });
  }
  @MessagePattern('context')
  context(@Payload() data: unknown, @Ctx() context: RedisStreamsContext): object {
    const { pattern, stream, group, attempt, headers, key, id, metadata } = context;
    return { data, pattern, stream, group, attempt, headers: { ...headers }, key, id, metadata, isOurs: context instanceof RedisStreamsContext };
  }
  @MessagePattern('slowly')
  async slowly(@Payload() { n, ms }: { n: number; ms: number }): Promise<string> {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return `reply ${n}`;
  }
}

describe('a request', () => {
  it('has its value: of a value, a promise, an object pattern, whatever the order of its keys', async () => {
    await net.serve([Handlers]);
    const client = net.client();
    expect(await ask(client, { of: 'numbers', cmd: 'sum' }, [1, 2, 3])).toBe(6);
    for (const data of [0, '', false, [], {}, 'x', { a: [{ b: null }] }, 'ünï ☃ 𝄞']) expect(await askAll(client, 'echo', data)).toEqual([data]);
  });

  it('has all values in order, of what comes slowly, at once, or as a promise; many more than one entry holds', async () => {
    await net.serve([Handlers]);
    const client = net.client();
    expect(await askAll(client, 'many', 20)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(await askAll(client, 'at once', 3_000)).toEqual(Array.from({ length: 3_000 }, (_, i) => i));
    expect(await askAll(client, 'promised', 7)).toEqual(['7a', '7b']);
  });

  it('without a value completes; values that are nothing stay what they are', async () => {
    await net.serve([Handlers]);
    const client = net.client();
    expect(await askAll(client, 'empty', 1)).toEqual([]);
    expect(await askAll(client, 'nothing', 1)).toEqual([]);
    expect(await askAll(client, 'holes', 1)).toEqual([1, undefined, null, 0, '', false]);
  });

  it('fails with what an RpcException carries; of another error its class and message stay in the server', async () => {
    await net.serve([Handlers]);
    const client = net.client();
    const failure = (how: string, pattern = 'fails'): Promise<unknown> => failureOf(askAll(client, pattern, how));
    expect(await failure('object')).toEqual({ code: 42, why: 'object' });
    expect(await failure('string')).toEqual({ status: 'error', message: 'string' });
    expect(await failure('stream')).toEqual({ status: 'error', message: 'stream' });
    expect(await failure('plain')).toEqual({ status: 'error', message: 'Internal server error' });
    expect(await failure('ours')).toEqual({ status: 'error', message: 'Internal server error' });
    expect(await failure('-', 'rejects')).toEqual({ code: 7 });
    const values: unknown[] = [];
    const late = await new Promise((resolve) => void client.send('fails', 'later').subscribe({ next: (value) => values.push(value), error: resolve, complete: () => resolve('complete') }));
    expect([values, late]).toEqual([[1, 2], { code: 3 }]);
  });

  it('tells its handler where it comes from', async () => {
    await net.serve([Handlers]);
    const client = net.client();
    expect(await ask(client, 'context', new RedisStreamsRecord({ n: 1 }, { headers: { a: 'b' }, key: 'k' }))).toEqual({
      data: { n: 1 }, pattern: 'context', stream: `${net.namespace}:request.context`, group: 'responders', attempt: 1, headers: { a: 'b' }, key: 'k', id: expect.stringMatching(/^\d+-\d+$/), metadata: {}, isOurs: true,
    });
  });

  it('gets its own reply among 500 at once, of two clients and two servers, in whatever order they are ready', async () => {
    await Promise.all([net.serve([Handlers]), net.serve([Handlers])]);
    const clients = [net.client(), net.client()];
    const numbers = Array.from({ length: 500 }, (_, n) => n);
    const replies = await Promise.all(numbers.map(async (n) => {
      const client = clients[n % 2]!;
      if (n % 5 === 0) return (await askAll<number>(client, 'many', n % 7)).join();
      if (n % 5 === 1) return failureOf(ask(client, 'fails', 'object')).then((error) => (error as { code: number }).code);
      return ask(client, 'slowly', { n, ms: (n * 7_919) % 60 });
    }));
    expect(replies).toEqual(numbers.map((n) => (n % 5 === 0 ? Array.from({ length: n % 7 }, (_, i) => i).join() : n % 5 === 1 ? 42 : `reply ${n}`)));
  });

  it('that nobody has ever handled fails in time, and says what to do; one that is handled soon waits for it', async () => {
    const client = net.client({ transport: { handlerWaitMs: 300 } });
    expect(await failureOf(ask(client, 'nobody', 1))).toMatchObject({ name: 'NoHandlerError', code: 'NO_HANDLER', retriable: true, message: expect.stringMatching(/nobody.*300 ms.*namespace/) });
    expect(await net.keys(`*${net.namespace}:request*`)).toEqual([]);
    const patient = net.client({ transport: { handlerWaitMs: 20_000 } });
    const reply = ask(patient, 'echo', 'early');
    await net.serve([Handlers]);
    expect(await reply).toBe('early');
    expect(await ask(client, 'echo', 'now')).toBe('now');
  });

  it('of nothing is refused as Nest does it', async () => {
    const client = net.client();
    for (const [pattern, data] of [[undefined, 1], ['p', undefined], ['p', null]]) {
      expect(await failureOf(ask(client, pattern, data))).toMatchObject({ message: expect.stringContaining('invalid data or message pattern') });
      expect(await failureOf(new Promise((resolve, reject) => void client.emit(pattern, data).subscribe({ error: reject, complete: () => resolve(undefined) })))).toMatchObject({ message: expect.stringContaining('invalid data or message pattern') });
    }
  });
});

it('operators and subscribers see the AsyncLocalStorage of no other caller', async () => {
  await net.serve([Handlers]);
  const client = net.client({ transport: { requestTimeoutMs: 300 } });
  const store = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  const asked = (who: string, pattern: string): Promise<void> => store.run(who, async () => {
    await lastValueFrom(client.send(pattern, 1).pipe(
      tap({ next: () => seen.push(store.getStore()), error: () => seen.push(store.getStore()), complete: () => seen.push(store.getStore()) }),
    )).catch(() => undefined);
    expect(store.getStore()).toBe(who);
  });
  for (const who of ['a', 'b']) await asked(who, 'echo');
  await Promise.all(['c', 'd'].map((who) => asked(who, 'never')));
  await asked('e', 'echo');
  expect(seen).toEqual(Array.from({ length: 8 }, () => undefined));
});
