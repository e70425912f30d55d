import { Controller } from '@nestjs/common';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { RedisStreamsContext } from 'nestjs-redis-streams/transport';
import { interval, type Observable, take, tap } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { startChild, told } from './fixtures/child.js';
import { ask, askAll, failureOf, Net, waitUntil } from './support/net.js';

const net = new Net();
let began: number[] = [];
let aborted = 0;
beforeEach(() => {
  began = [];
  aborted = 0;
});

@Controller()
class Here {
  @MessagePattern('values')
  values(@Payload() { n, ms }: { n: number; ms: number }, @Ctx() { attempt }: RedisStreamsContext): Observable<number> {
    began.push(attempt);
    return interval(ms).pipe(take(n));
  }
  @MessagePattern('request')
  async request(@Payload() { n }: { n: number }): Promise<string> {
    began.push(n);
    return `${n} here`;
  }
  @MessagePattern('endless')
  endless(@Payload() _: unknown, @Ctx() { signal }: RedisStreamsContext): Observable<number> {
    signal.addEventListener('abort', () => aborted++);
    return interval(10).pipe(tap(() => undefined));
  }
}
const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

describe('a server that is killed in the midst of a request', () => {
  it('another answers, and values that came before do not come again', async () => {
    const child = await startChild(net, { kind: 'microservice' });
    const client = net.client();
    const values: number[] = [];
    const all = new Promise<void>((resolve, reject) => client.send<number>('values', { n: 30, ms: 20 }).subscribe({ next: (value) => values.push(value), error: reject, complete: resolve }));
    await waitUntil(() => values.length >= 5, { what: 'some values are here' });
    await child.kill();
    await net.serve([Here]);
    await all;
    expect(values).toEqual(numbers(30));
    expect(began).toHaveLength(1);
  });

  it('with many requests open at once: each has its reply', async () => {
    const child = await startChild(net, { kind: 'microservice' });
    await net.serve([Here]);
    const client = net.client();
    const replies = Promise.all(numbers(200).map((n) => ask<string>(client, 'request', { n, ms: 100_000 })));
    await waitUntil(() => told(child, 'begin', 'request').length > 10, { what: 'some are in its hands' });
    await child.kill();
    expect((await replies).map((reply) => reply.split(' ')[0])).toEqual(numbers(200).map(String));
  });

  it('one that ends cleanly completes what it has begun, and begins nothing more', async () => {
    const child = await startChild(net, { kind: 'microservice' });
    const client = net.client();
    const values = askAll<number>(client, 'values', { n: 10, ms: 30 });
    await child.waitFor(({ type }) => type === 'value', 10_000, 'its first value');
    child.send({ do: 'stop' });
    expect(await values).toEqual(numbers(10));
    expect(await child.exited).toEqual({ code: 0, signal: null });
    const reply = ask(client, 'request', { n: 1 });
    await net.serve([Here]);
    expect(await reply).toBe('1 here');
  });
});

describe('a client whose connections fail', () => {
  it('in the midst of a stream of values has each once, in order', async () => {
    await net.serve([Here]);
    const proxy = net.onEnd(await startProxy(net.redis.port), (made) => made.stop());
    const client = net.client({ url: proxy.url });
    const values: number[] = [];
    const all = new Promise<void>((resolve, reject) => client.send<number>('values', { n: 300, ms: 5 }).subscribe({ next: (value) => values.push(value), error: reject, complete: resolve }));
    for (const count of [10, 60, 150, 250]) {
      await waitUntil(() => values.length >= count, { what: `${count} values are here`, timeoutMs: 30_000 });
      proxy.cutAll();
    }
    await all;
    expect(values).toEqual(numbers(300));
    expect(proxy.stats.connections).toBeGreaterThan(4);
  });

  it('without being told (half open) finds that out, and has each once', async () => {
    await net.serve([Here]);
    const proxy = net.onEnd(await startProxy(net.redis.port), (made) => made.stop());
    const client = net.client({ url: proxy.url, commandTimeoutMs: 500 });
    const values: number[] = [];
    const all = new Promise<void>((resolve, reject) => client.send<number>('values', { n: 100, ms: 5 }).subscribe({ next: (value) => values.push(value), error: reject, complete: resolve }));
    await waitUntil(() => values.length >= 10, { what: 'some values are here' });
    proxy.halfOpenAll();
    await all;
    expect(values).toEqual(numbers(100));
  });

  it('on the side of the server: replies are said again, and come once', async () => {
    const proxy = net.onEnd(await startProxy(net.redis.port), (made) => made.stop());
    await net.serve([Here], { url: proxy.url, session: { ttlMs: 5_000 } });
    const client = net.client();
    const values: number[] = [];
    const all = new Promise<void>((resolve, reject) => client.send<number>('values', { n: 300, ms: 5 }).subscribe({ next: (value) => values.push(value), error: reject, complete: resolve }));
    for (const count of [10, 100, 200]) {
      await waitUntil(() => values.length >= count, { what: `${count} values are here` });
      proxy.cutAll();
    }
    await all;
    expect(values).toEqual(numbers(300));
  });
});

describe('Redis, emptied in the midst of requests', () => {
  it('those that were open fail and are said to be lost; the next have their replies', async () => {
    await net.serve([Here]);
    const client = net.client();
    const lost: number[] = [];
    client.on('transport.repliesLost', ({ requests }) => void lost.push(requests));
    const open = [failureOf(askAll(client, 'endless', 1)), failureOf(askAll(client, 'values', { n: 1_000_000, ms: 10 }))];
    await waitUntil(() => began.length === 1, { what: 'it has begun' });
    await net.redis.cli('FLUSHALL');
    for (const failure of await Promise.all(open)) expect(failure).toMatchObject({ code: 'CONNECTION', message: expect.stringContaining('lost') });
    expect(lost).toEqual([2]);
    expect(await ask(client, 'request', { n: 7 })).toBe('7 here');
    await waitUntil(() => aborted === 1, { what: 'the endless one has ended' });
  });
});

describe('a client that is killed', () => {
  it('its stream goes by itself within 30 s, and the handler of its request is told that nobody waits', async () => {
    const { engine } = await net.serve([Here]);
    const gone: string[] = [];
    engine.events.on('transport.callerGone', ({ pattern }) => gone.push(pattern));
    const child = await startChild(net, { kind: 'client' });
    child.send({ do: 'send', pattern: 'endless', data: 1 });
    await child.waitFor(({ type }) => type === 'value', 10_000, 'its first value');
    const [stream] = await net.replyStreams();
    await child.kill();
    const left = Number(await net.redis.cli('PTTL', stream!));
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(30_000);
    expect(aborted).toBe(0);
    // As if these 30 s were over.
    await net.redis.cli('PEXPIRE', stream!, 1);
    await waitUntil(() => aborted === 1 && gone.length === 1, { what: 'its handler is told' });
    // Replies do not make it again.
    expect(await net.replyStreams()).toEqual([]);
  });

  it('while it lives its stream is renewed', async () => {
    await net.serve([Here]);
    const client = net.client();
    await ask(client, 'request', { n: 1 });
    const [stream] = await net.replyStreams();
    await net.redis.cli('PEXPIRE', stream!, 15_000);
    await waitUntil(async () => Number(await net.redis.cli('PTTL', stream!)) > 16_000, { what: 'it is renewed', timeoutMs: 13_000, intervalMs: 100 });
  });
});
