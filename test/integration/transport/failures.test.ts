import { type CallHandler, Catch, Controller, type ExceptionFilter, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { BaseRpcExceptionFilter, Ctx, EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { DeadLetterException, DropException, RedisStreamsContext, RedisStreamsRecord, RetryException, streamOptions } from 'nestjs-redis-streams/transport';
import { catchError, concat, EMPTY, map, type Observable, of, throwError } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { ask, askAll, failureOf, Net, waitUntil } from './support/net.js';

const net = new Net();
interface Run { readonly who: string; readonly data: unknown; readonly attempt: number; readonly at: number }
let runs: Run[] = [];
beforeEach(() => void (runs = []));
const attempts = (who: string): number[] => runs.filter((run) => run.who === who).map(({ attempt }) => attempt);
const note = (who: string, data: unknown, { attempt }: RedisStreamsContext): number => (runs.push({ who, data, attempt, at: performance.now() }), attempt);

const BACKOFF = { retry: { maxAttempts: 4, initialMs: 100, factor: 2, maxMs: 10_000, jitter: 0 } };

@Controller()
class Failing {
  @EventPattern<unknown>('throws', streamOptions(BACKOFF))
  throws(@Payload() data: { times: number }, @Ctx() context: RedisStreamsContext): void {
    if (note('throws', data, context) <= data.times) throw new Error(`no ${context.attempt}`);
  }
  @EventPattern<unknown>('outcome')
  outcome(@Payload() how: string, @Ctx() context: RedisStreamsContext): unknown {
    return fail(how, note(how, how, context));
  }
  @EventPattern<unknown>('stream')
  stream(@Payload() how: string, @Ctx() context: RedisStreamsContext): Observable<unknown> {
    const attempt = note(how, how, context);
    // It fails after it has said something, as a stream does.
    return concat(of(1, 2), attempt === 1 ? throwError(() => new RpcException('late')) : EMPTY);
  }
  @EventPattern<unknown>('when', streamOptions(BACKOFF))
  when(@Payload() how: string, @Ctx() context: RedisStreamsContext): void {
    if (note(how, how, context) === 1) throw new RetryException('again', { delayMs: Number(how) });
  }
  @EventPattern<unknown>('refused', streamOptions({ ...BACKOFF, ack: 'manual' }))
  refused(@Payload() how: string, @Ctx() context: RedisStreamsContext): Promise<void> {
    return note(how, how, context) === 1 ? context.nack(Number(how)) : context.ack();
  }
  @EventPattern<unknown>('in order', streamOptions({ ...BACKOFF, partitions: 1 }))
  inOrder(@Payload() how: string, @Ctx() context: RedisStreamsContext): void {
    if (note(how, how, context) === 1) throw new RetryException('again', { delayMs: Number(how) });
  }
  @MessagePattern('request')
  request(@Payload() how: string, @Ctx() context: RedisStreamsContext): unknown {
    return fail(how, note(how, how, context)) ?? `${how} ${context.attempt}`;
  }
}

function fail(how: string, attempt: number): undefined {
  if (how === 'retry' && attempt < 3) throw new RetryException('again', { delayMs: 300 });
  if (how === 'always') throw new RetryException('always', { delayMs: 0 });
  if (how === 'dead') throw new DeadLetterException('broken', { message: 'it is broken' });
  if (how === 'drop') throw new DropException('not for us');
  if (how === 'throws') throw new Error('plain');
  if (how === 'falsy' && attempt === 1) throw null as unknown as Error;
  return undefined;
}

/** As applications have them: everything is logged and passed on. */
@Catch()
class GlobalFilter extends BaseRpcExceptionFilter {}
@Catch(RpcException)
class RpcFilter implements ExceptionFilter {
  catch(exception: RpcException): Observable<unknown> {
    return throwError(() => exception.getError());
  }
}
class Passing implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((value: unknown) => value), catchError((error: unknown) => throwError(() => error)));
  }
}

describe('a handler that throws n times', () => {
  it('is run n + 1 times, with the declared backoff between', async () => {
    await net.serve([Failing]);
    await net.client().emitAsync('throws', { times: 3 });
    await waitUntil(() => runs.length === 4, { what: 'it has run four times' });
    expect(attempts('throws')).toEqual([1, 2, 3, 4]);
    const gaps = runs.slice(1).map(({ at }, i) => at - runs[i]!.at);
    for (const [i, gap] of gaps.entries()) {
      expect(gap).toBeGreaterThan(100 * 2 ** i - 15);
      expect(gap).toBeLessThan(100 * 2 ** i + 1_000);
    }
  });

  it('is dead-lettered after its last attempt with the headers it came with; replayed, it is handled as the first time', async () => {
    await net.serve([Failing]);
    const client = net.client();
    await client.emitAsync('throws', new RedisStreamsRecord({ times: 4 }, { headers: { trace: 'abc' }, key: 'k' }));
    const letters = await net.letters(client, 'event.throws');
    await waitUntil(async () => (await letters.count()) === 1, { what: 'it is a dead letter' });
    expect(attempts('throws')).toEqual([1, 2, 3, 4]);
    const [letter] = await letters.list();
    expect(letter).toMatchObject({ attempts: 4, headers: { trace: 'abc' }, key: 'k', data: { times: 4 }, error: expect.stringContaining('Internal server error') });
    runs = [];
    await letters.replayAll();
    await waitUntil(async () => runs.length === 4 && (await letters.count()) === 1, { what: 'it has been tried again' });
    expect(attempts('throws')).toEqual([1, 2, 3, 4]);
  });
});

describe.each([
  ['with nothing between', () => undefined],
  ['through a global filter for everything', (app: Parameters<NonNullable<Parameters<Net['serve']>[2]>>[0]) => app.useGlobalFilters(new GlobalFilter())],
  ['through a filter of RpcException and an interceptor', (app: Parameters<NonNullable<Parameters<Net['serve']>[2]>>[0]) => app.useGlobalFilters(new RpcFilter()).useGlobalInterceptors(new Passing())],
])('what is thrown says what becomes of the message, %s', (_name, prepare) => {
  it('of an event', async () => {
    await net.serve([Failing], {}, prepare);
    const client = net.client();
    for (const how of ['retry', 'always', 'dead', 'drop', 'throws', 'falsy', 'fine']) await client.emitAsync('outcome', how);
    const letters = await net.letters(client, 'event.outcome');
    await waitUntil(async () => (await letters.count()) === 3 && attempts('retry').length === 3 && attempts('falsy').length === 2, { what: 'all are settled' });
    expect(Object.fromEntries(['retry', 'always', 'dead', 'drop', 'throws', 'falsy', 'fine'].map((how) => [how, attempts(how).length]))).toEqual({ retry: 3, always: 5, dead: 1, drop: 1, throws: 5, falsy: 2, fine: 1 });
    const [first, second] = runs.filter(({ who }) => who === 'retry');
    expect(second!.at - first!.at).toBeGreaterThan(290);
    const reasons = (await letters.list()).map(({ data, reason, attempts: n }) => [data, reason, n]).toSorted();
    expect(reasons).toEqual([['always', expect.any(String), 5], ['dead', 'broken', 1], ['throws', expect.any(String), 5]]);
  });

  it('of an event whose handler answers with a stream that fails late', async () => {
    await net.serve([Failing], {}, prepare);
    await net.client().emitAsync('stream', 's');
    await waitUntil(() => attempts('s').length === 2, { what: 'it has run again' });
    expect(attempts('s')).toEqual([1, 2]);
  });

  it('of a request', async () => {
    await net.serve([Failing], {}, prepare);
    const client = net.client();
    const letters = await net.letters(client, 'request.request');
    expect(await askAll(client, 'request', 'retry')).toEqual(['retry 3']);
    // Each is told once what it is about, and the caller waits no longer than for the last attempt.
    expect(await failureOf(ask(client, 'request', 'dead'))).toEqual({ status: 'error', message: 'it is broken' });
    expect(await failureOf(ask(client, 'request', 'drop'))).toEqual({ status: 'error', message: 'not for us' });
    expect(await failureOf(ask(client, 'request', 'always'))).toEqual({ status: 'error', message: 'always' });
    expect(await failureOf(ask(client, 'request', 'throws'))).toMatchObject({ status: 'error' });
    expect([attempts('retry'), attempts('dead'), attempts('drop'), attempts('always'), attempts('throws')]).toEqual([[1, 2, 3], [1], [1], [1, 2, 3, 4, 5], [1]]);
    await waitUntil(async () => (await letters.count()) === 2, { what: 'two are dead letters' });
    expect((await letters.list()).map(({ data }) => data).toSorted()).toEqual(['always', 'dead']);
  });
});

describe.each(['when', 'refused', 'in order'])('a handler of "%s" that asks for a delay', (pattern) => {
  it('that is no number: the backoff it is, and nothing fails over it', async () => {
    const { server } = await net.serve([Failing]);
    const delays: number[] = [];
    server.on('queue.retried', ({ delayMs }) => void delays.push(delayMs));
    server.on('partition.retried', ({ delayMs }) => void delays.push(delayMs));
    await net.client().emitAsync(pattern, 'not there');
    await waitUntil(() => attempts('not there').length === 2, { what: 'it has run again' });
    expect(delays).toEqual([100]);
    expect(net.errors.filter((error) => error !== 'again')).toEqual([]);
  });

  it('without end: a year', async () => {
    const { server } = await net.serve([Failing]);
    const delays: number[] = [];
    server.on('queue.retried', ({ delayMs }) => void delays.push(delayMs));
    server.on('partition.retried', ({ delayMs }) => void delays.push(delayMs));
    await net.client().emitAsync(pattern, 'Infinity');
    await waitUntil(() => delays.length === 1, { what: 'it is to be run again' });
    expect(delays).toEqual([31_536_000_000]);
  });
});
