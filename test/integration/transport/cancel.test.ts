import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { type RedisStreamsClient, RedisStreamsContext, RedisStreamsRecord, RequestCancelledError, RequestTimeoutError, streamOptions } from 'nestjs-redis-streams/transport';
import type { RedisStreamsEngine } from 'nestjs-redis-streams';
import { finalize, interval, Observable, take, takeUntil, timer } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { ask, askAll, failureOf, Gate, Net, waitUntil } from './support/net.js';

const net = new Net();
let ran: unknown[] = [];
let aborted: unknown[] = [];
let unsubscribed = 0;
let hold = new Gate();
beforeEach(() => {
  ran = [];
  aborted = [];
  unsubscribed = 0;
  hold = new Gate();
});

@Controller()
class Handlers {
  @MessagePattern('wait')
  async wait(@Payload() n: unknown, @Ctx() { signal }: RedisStreamsContext): Promise<string> {
    ran.push(n);
    await Promise.race([hold.opened, new Promise((resolve) => signal.addEventListener('abort', resolve))]);
    if (signal.aborted) aborted.push(signal.reason);
    return `done ${n}`;
  }
  @MessagePattern('endless')
  endless(@Payload() n: unknown): Observable<number> {
    ran.push(n);
    return new Observable((subscriber) => {
      const ticks = interval(5).subscribe(subscriber);
      return () => {
        unsubscribed++;
        ticks.unsubscribe();
      };
    });
  }
  @MessagePattern('slow values')
  slowValues(@Payload() n: number): Observable<number> {
    return interval(120).pipe(take(n));
  }
  @MessagePattern('one at a time')
  async one(@Payload() n: unknown): Promise<string> {
    ran.push(n);
    if (n === 'first') await hold.opened;
    return String(n);
  }
  @MessagePattern('fragile', streamOptions({ maxProcessingMs: 100, retry: { maxAttempts: 1 } }))
  fragile(@Payload() n: unknown, @Ctx() context: RedisStreamsContext): Observable<number> {
    if (!hold.isOpen) return new Observable();
    const { signal } = context;
    ran.push(n);
    // Neither word of its sender's end nor the missing stream of replies ends it.
    return interval(5).pipe(take(5), finalize(() => ran.push(signal.aborted ? 'aborted' : 'end')));
  }
}
const ONE_AT_A_TIME = { transport: { requests: { concurrency: 1 } } };

describe('a request that nobody waits for any more', () => {
  it('after its timeout fails, and its handler is told by its signal', async () => {
    await net.serve([Handlers]);
    const failure = await failureOf(ask(net.client({ transport: { requestTimeoutMs: 150 } }), 'wait', 1));
    expect(failure).toBeInstanceOf(RequestTimeoutError);
    expect(failure).toMatchObject({ code: 'REQUEST_TIMEOUT', pattern: 'wait', retriable: true, message: expect.stringContaining('150 ms') });
    await waitUntil(() => aborted.length === 1, { what: 'the signal has aborted' });
    expect(aborted[0]).toBeInstanceOf(RequestCancelledError);
    // Its end was told nobody, and it is not run again.
    hold.open();
    expect(await ask(net.client(), 'wait', 2)).toBe('done 2');
    expect(ran).toEqual([1, 2]);
  });

  it('whose values come more often than the timeout does not run into it', async () => {
    await net.serve([Handlers]);
    expect(await askAll(net.client({ transport: { requestTimeoutMs: 900 } }), 'slow values', 12)).toHaveLength(12);
  });

  it('by an unsubscription in the midst of its values: the server unsubscribes, once, and says so', async () => {
    const { engine } = await net.serve([Handlers]);
    const gone: unknown[] = [];
    engine.events.on('transport.callerGone', (event) => gone.push(event.pattern));
    const client = net.client();
    const values: number[] = [];
    await new Promise<void>((resolve, reject) => client.send<number>('endless', 1).pipe(take(10)).subscribe({ next: (value) => values.push(value), error: reject, complete: resolve }));
    expect(values).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await waitUntil(() => unsubscribed === 1, { what: 'the server has unsubscribed' });
    await waitUntil(() => gone.length === 1, { what: 'it has said so' });
    expect([ran, gone]).toEqual([[1], ['endless']]);
    // It is settled: nobody runs it again.
    await waitUntil(async () => (await waiting(client, 'request.endless')) === 0, { what: 'it is settled' });
  });

  it('before any server took it: it is not run', async () => {
    await net.serve([Handlers], ONE_AT_A_TIME);
    const client = net.client();
    const first = ask(client, 'one at a time', 'first');
    await waitUntil(() => ran.length === 1, { what: 'the first runs' });
    const second = client.send('one at a time', 'second').subscribe();
    const third = ask(client, 'one at a time', 'third');
    await waitUntil(async () => (await waiting(client, 'request.one_20at_20a_20time')) === 3, { what: 'all are stored' });
    second.unsubscribe();
    hold.open();
    expect(await Promise.all([first, third])).toEqual(['first', 'third']);
    expect(ran).toEqual(['first', 'third']);
  });

  it('before it was sent: it never is', async () => {
    await net.serve([Handlers]);
    const client = net.client();
    client.send('one at a time', 'never').subscribe().unsubscribe();
    client.send('one at a time', 'neither').pipe(takeUntil(timer(0))).subscribe();
    expect(await ask(client, 'one at a time', 'now')).toBe('now');
    expect(ran.filter((n) => n === 'never')).toEqual([]);
  });

  it('since it is older than its sender waits: it is not run by a server that finds it later', async () => {
    const first = await net.serve([Handlers], ONE_AT_A_TIME);
    const expired: unknown[] = [];
    first.engine.events.on('transport.expired', ({ pattern, ageMs }) => expired.push([pattern, ageMs >= 200]));
    const client = net.client();
    const held = ask(client, 'one at a time', 'first');
    await waitUntil(() => ran.length === 1, { what: 'the first runs' });
    // Its sender waits on, so that no cancellation tells: only its age does.
    const old = client.send('one at a time', new RedisStreamsRecord('old', { ttlMs: 200 })).subscribe();
    const own = ask(client, 'one at a time', new RedisStreamsRecord('own', { ttlMs: 60_000 }));
    await waitUntil(async () => (await waiting(client, 'request.one_20at_20a_20time')) === 3, { what: 'all are stored' });
    const since = performance.now();
    await waitUntil(() => performance.now() - since > 250, { what: 'it is too old' });
    hold.open();
    expect(await Promise.all([held, own])).toEqual(['first', 'own']);
    expect([ran, expired]).toEqual([['first', 'own'], [['one at a time', true]]]);
    old.unsubscribe();
  });

  it.each([{ closed: false }, { closed: true }])('whose dead letter is replayed is run to its end: its sender has long been told (closed: $closed)', async ({ closed }) => {
    const { engine } = await net.serve([Handlers]);
    const client = net.client();
    const subscription = client.send('fragile', 1).subscribe();
    const letters = await net.letters(net.client(), 'request.fragile');
    await waitUntil(async () => (await letters.count()) === 1, { what: 'it is a dead letter' });
    subscription.unsubscribe();
    // Sent behind it on the same way: when this one is heard, so is that.
    const next = client.send('wait', 'next').subscribe();
    await waitUntil(() => ran.length === 1, { what: 'the next one runs' });
    next.unsubscribe();
    await waitUntil(() => aborted.length === 1, { what: 'its end is heard' });
    if (closed) await client.close();
    hold.open();
    const gone: unknown[] = [];
    engine.events.on('transport.callerGone', ({ pattern }) => gone.push(pattern));
    expect(await letters.replayAll()).toMatchObject({ replayed: 1 });
    await waitUntil(() => ran.length === 3, { what: 'it has ended' });
    expect([ran, gone]).toEqual([['next', 1, 'end'], []]);
    expect(await letters.count()).toBe(0);
  });

  it('while its dead letter is replayed: it runs on, and fails as any', async () => {
    await net.serve([Handlers]);
    const client = net.client();
    const subscription = client.send('fragile', 1).subscribe();
    const letters = await net.letters(net.client(), 'request.fragile');
    await waitUntil(async () => (await letters.count()) === 1, { what: 'it is a dead letter' });
    expect(await letters.replayAll()).toMatchObject({ replayed: 1 });
    subscription.unsubscribe();
    await waitUntil(async () => (await letters.count()) === 1, { what: 'it is a dead letter again' });
  });
});

describe('closing a client', () => {
  it('fails what is open, deletes its stream, and leaves no connection; the next request connects again', async () => {
    await net.serve([Handlers]);
    const proxy = net.onEnd(await startProxy(net.redis.port), (made) => made.stop());
    const client = net.client({ url: proxy.url });
    const open = [failureOf(ask(client, 'wait', 1)), failureOf(askAll(client, 'endless', 2))];
    await waitUntil(() => ran.length === 2, { what: 'both run' });
    expect(await net.replyStreams()).toHaveLength(1);
    await Promise.all([client.close(), client.close()]);
    for (const failure of await Promise.all(open)) expect(failure).toMatchObject({ code: 'CLOSED', message: expect.stringContaining('open') });
    expect(await net.replyStreams()).toEqual([]);
    await waitUntil(() => proxy.stats.open === 0, { what: 'its connections are gone' });
    await waitUntil(() => unsubscribed === 1, { what: 'the server has noticed' });
    hold.open();
    expect(await ask(client, 'wait', 3)).toBe('done 3');
    expect(await net.replyStreams()).toHaveLength(1);
    await client.close();
    expect(await net.replyStreams()).toEqual([]);
    await client.connect();
    await client.close();
  });

  it('stores what was emitted before, also what nobody has waited for, and the first of a pattern', async () => {
    await net.serve([Handlers]);
    const client = net.client();
    await client.connect();
    const sent = client.emitAsync('to nobody', 1);
    await client.close();
    expect(await sent.then(() => 'sent', (error: unknown) => error)).toBe('sent');
  });
});

/** Messages of a request's queue that are not settled. */
async function waiting(client: RedisStreamsClient, queue: string): Promise<number> {
  return (await client.unwrap<RedisStreamsEngine>().queues().stats({ queue, namespace: net.namespace }, 'responders')).messages;
}
