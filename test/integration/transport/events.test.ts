import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { RedisStreamsContext, RedisStreamsRecord, streamOptions } from 'nestjs-redis-streams/transport';
import { lastValueFrom } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { failureOf, Net, waitUntil } from './support/net.js';

const net = new Net();
let seen: Array<readonly [string, unknown, ...unknown[]]> = [];
beforeEach(() => void (seen = []));
const of = (who: string): unknown[] => seen.filter(([by]) => by === who).map(([, data]) => data);

/** One instance's handlers. */
function handlersOf(who: string) {
  @Controller()
  class Handlers {
    @EventPattern<unknown>('order.paid')
    async paid(@Payload() data: unknown, @Ctx() { attempt, headers }: RedisStreamsContext): Promise<void> {
      seen.push([who, data, attempt, { ...headers }]);
    }
    @EventPattern<unknown>({ kind: 'object', a: 1 })
    object(@Payload() data: unknown, @Ctx() { pattern }: RedisStreamsContext): void {
      seen.push([who, data, pattern]);
    }
    @EventPattern<unknown>(['first', 'second'])
    both(@Payload() data: unknown, @Ctx() { pattern }: RedisStreamsContext): void {
      seen.push([who, data, pattern]);
    }
    @EventPattern<unknown>('by hand', streamOptions({ ack: 'manual', retry: { initialMs: 10, factor: 1, jitter: 0, maxAttempts: 3 } }))
    async byHand(@Payload() data: string, @Ctx() context: RedisStreamsContext): Promise<void> {
      seen.push([who, data, context.attempt]);
      if (data === 'ack') await context.ack();
      else if (data === 'nack' && context.attempt < 3) await context.nack(30);
      else if (data === 'nack') await context.ack();
      else if (data === 'dead') await context.deadLetter('by hand');
    }
  }
  return Handlers;
}

describe('an event', () => {
  it('goes to each service once, over two instances each', async () => {
    const instances = ['a1', 'a2', 'b1', 'b2'];
    await Promise.all(instances.map((who) => net.serve([handlersOf(who)], { transport: { service: who[0] } })));
    const client = net.client();
    const numbers = Array.from({ length: 400 }, (_, n) => n);
    await Promise.all(numbers.map((n) => client.emitAsync('order.paid', { n })));
    await waitUntil(() => seen.length >= 800, { what: 'all are handled' });
    for (const service of ['a', 'b']) {
      const got = seen.filter(([who]) => who.startsWith(service)).map(([, data]) => (data as { n: number }).n);
      expect(got.toSorted((a, b) => a - b)).toEqual(numbers);
    }
    expect(instances.filter((who) => of(who).length === 0)).toEqual([]);
  });

  it('is stored when emit completes, whether anybody subscribes or not; what is emitted in a row keeps its order', async () => {
    await net.serve([handlersOf('a')], { transport: { events: { concurrency: 1 } } });
    const client = net.client();
    client.emit('order.paid', 0);
    const told: unknown[] = [];
    await new Promise<void>((resolve, reject) => client.emit('order.paid', 1).subscribe({ next: (value) => told.push(value), error: reject, complete: resolve }));
    expect(told).toEqual([undefined]);
    for (let n = 2; n < 50; n++) client.emit('order.paid', n);
    await client.emitAsync('order.paid', 50);
    await waitUntil(() => seen.length === 51, { what: 'all are handled' });
    expect(of('a')).toEqual(Array.from({ length: 51 }, (_, n) => n));
  });

  it('of an object pattern, and of a handler with several patterns', async () => {
    await net.serve([handlersOf('a')]);
    const client = net.client();
    await client.emitAsync({ a: 1, kind: 'object' }, 'o');
    await client.emitAsync('first', 1);
    await client.emitAsync('second', 2);
    await waitUntil(() => seen.length === 3, { what: 'all are handled' });
    expect(seen.toSorted((x, y) => String(x[1]).localeCompare(String(y[1])))).toEqual([['a', 1, 'first'], ['a', 2, 'second'], ['a', 'o', '{"a":1,"kind":"object"}']]);
  });

  it('with headers, an id, a delay and a time to live', async () => {
    await net.serve([handlersOf('a')], { transport: { events: { concurrency: 1 } } });
    const client = net.client();
    await client.emitAsync('order.paid', new RedisStreamsRecord('h', { headers: { trace: 'x', 'content-type': 'y' } }));
    for (const text of ['i1', 'i2']) await client.emitAsync('order.paid', new RedisStreamsRecord(text, { id: 'same' }));
    const before = performance.now();
    let delayed = 0;
    await client.emitAsync('order.paid', new RedisStreamsRecord('later', { delayMs: 400, ttlMs: 60_000 }));
    await waitUntil(() => (delayed = performance.now()) && of('a').includes('later'), { what: 'the delayed one is handled' });
    expect(delayed - before).toBeGreaterThan(350);
    expect(of('a')).toEqual(['h', 'i1', 'later']);
    expect(seen[0]).toEqual(['a', 'h', 1, { trace: 'x', 'content-type': 'y' }]);
  });

  it('that is older than its time to live is not handled, and said to be', async () => {
    const client = net.client();
    const first = await net.serve([handlersOf('a')]);
    await client.emitAsync('order.paid', 0);
    await waitUntil(() => seen.length === 1, { what: 'it is handled' });
    await first.app.close();
    await client.emitAsync('order.paid', new RedisStreamsRecord('old', { ttlMs: 50 }));
    await client.emitAsync('order.paid', new RedisStreamsRecord('young', { ttlMs: 60_000 }));
    const since = performance.now();
    await waitUntil(() => performance.now() - since > 100, { what: 'it is old' });
    const expired: string[] = [];
    await net.serve([handlersOf('b')], {}, (_app, server) => server.on('transport.expired', ({ pattern }) => void expired.push(pattern)));
    await waitUntil(() => of('b').length === 1 && expired.length === 1, { what: 'both are settled' });
    expect([of('b'), expired]).toEqual([['young'], ['order.paid']]);
  });

  it('is acknowledged by its handler where that is asked for', async () => {
    await net.serve([handlersOf('a')]);
    const client = net.client();
    for (const how of ['ack', 'nack', 'dead']) await client.emitAsync('by hand', how);
    const letters = await net.letters(client, 'event.by_20hand');
    await waitUntil(async () => seen.length >= 5 && (await letters.count()) === 1, { what: 'all are settled' });
    expect(seen.map(([, data, attempt]) => `${data} ${attempt}`).toSorted()).toEqual(['ack 1', 'dead 1', 'nack 1', 'nack 2', 'nack 3']);
    expect((await letters.list())[0]).toMatchObject({ reason: 'by hand' });
    expect(net.errors).toEqual([]);
  });

  it('with options that cannot be is refused, and says which', async () => {
    // What shows no names of its own would get lost on the way.
    for (const headers of [new Map([['a', 'b']]), new Headers({ a: 'b' }), ['a'], 'text', 5, null, { a: 1 }]) {
      expect(() => new RedisStreamsRecord(1, { headers } as never)).toThrow('record.headers: must be an object of strings');
    }
    for (const options of [5, [], null, 'k']) expect(() => new RedisStreamsRecord(1, options as never)).toThrow('record: must be an object');
    expect(() => new RedisStreamsRecord(1, { headers: { 'nrs-replies': 'x' }, ttlMs: 0, wrong: 1 } as never)).toThrow(/nrs-replies[^]*ttlMs|wrong[^]*/);
    await net.serve([handlersOf('a')]);
    const client = net.client();
    expect(await failureOf(client.emitAsync('order.paid', new RedisStreamsRecord(1, { delayMs: -5 })))).toMatchObject({ code: 'INVALID_OPTIONS' });
    expect(await failureOf(client.emitAsync('x'.repeat(200), 1))).toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('too long') });
  });
});

it('a record of another copy of the package is one', async () => {
  const copy = new URL('../../../libs/redis-streams/dist/transport/record.js?copy', import.meta.url).href;
  const { RedisStreamsRecord: Other } = (await import(copy)) as { RedisStreamsRecord: typeof RedisStreamsRecord };
  expect(Other).not.toBe(RedisStreamsRecord);
  @Controller()
  class Both {
    @EventPattern<unknown>('order.paid')
    paid(@Payload() data: unknown, @Ctx() { headers, key }: RedisStreamsContext): void {
      seen.push(['x', data, { ...headers }, key]);
    }
    @MessagePattern('ask')
    asked(@Payload() data: unknown, @Ctx() context: RedisStreamsContext): unknown {
      this.paid(data, context);
      return data;
    }
  }
  await net.serve([Both]);
  const client = net.client();
  await client.emitAsync('order.paid', new Other({ n: 1 }, { key: 'k', headers: { tenant: 'acme' } }));
  for (let n = 2; n <= 3; n++) expect(await lastValueFrom(client.send('ask', new Other({ n }, { key: 'k', headers: { tenant: 'acme' } })))).toEqual({ n });
  await waitUntil(() => seen.length === 3, { what: 'all are handled' });
  expect(seen.toSorted((a, b) => (a[1] as { n: number }).n - (b[1] as { n: number }).n)).toEqual([1, 2, 3].map((n) => ['x', { n }, { tenant: 'acme' }, 'k']));
});
