import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import type { RedisStreamsEngine } from 'nestjs-redis-streams';
import { RedisStreamsContext, RedisStreamsRecord, streamOptions } from 'nestjs-redis-streams/transport';
import { beforeEach, describe, expect, it } from 'vitest';
import { ask, Net, waitUntil } from './support/net.js';

const net = new Net();
let seen: unknown[][] = [];
let ages: (headers: Readonly<Record<string, string>>) => unknown;
beforeEach(() => {
  seen = [];
  ages = () => undefined;
});

@Controller()
class Late {
  @EventPattern<unknown>('late')
  late(@Payload() data: unknown, @Ctx() { headers, attempt, delivery }: RedisStreamsContext): void {
    ages(delivery.headers);
    seen.push([data, { ...headers }, attempt]);
  }
  @EventPattern<unknown>('late, in order', streamOptions({ partitions: 4 }))
  ordered(@Payload() data: unknown, @Ctx() { key }: RedisStreamsContext): void {
    seen.push([data, key]);
  }
}
@Controller()
class Other {
  @MessagePattern('other')
  other(): string {
    return 'here';
  }
}

describe('an event of a pattern that nobody has ever handled', () => {
  it('is told of, kept, and forwarded with all it has once a service appears', async () => {
    const client = net.client();
    const unrouted: string[] = [];
    client.on('transport.unrouted', ({ pattern }) => void unrouted.push(pattern));
    await client.emitAsync('late', new RedisStreamsRecord({ n: 1 }, { headers: { a: 'b' }, id: 'x' }));
    await client.emitAsync('late, in order', new RedisStreamsRecord(2, { key: 'k' }));
    expect(unrouted).toEqual(['late', 'late, in order']);
    await net.serve([Other]);
    await net.serve([Late]);
    await waitUntil(() => seen.length >= 2, { what: 'both are handled', timeoutMs: 15_000 });
    expect(seen.toSorted()).toEqual([[2, 'k'], [{ n: 1 }, { a: 'b' }, 1]].toSorted());
    // The client finds it by itself soon after, and says no more that nobody handles it.
    await waitUntil(async () => {
      const before = unrouted.length;
      await client.emitAsync('late', { n: 3 });
      return unrouted.length === before;
    }, { what: 'it goes directly', intervalMs: 200 });
  });

  it('grows no younger by being forwarded: what is too old is not handled, the rest has what is left', async () => {
    const client = net.client();
    const expired: string[] = [];
    const left: string[] = [];
    await client.emitAsync('late', new RedisStreamsRecord('old', { ttlMs: 50 }));
    await client.emitAsync('late', new RedisStreamsRecord('young', { ttlMs: 60_000 }));
    await client.emitAsync('late', new RedisStreamsRecord('for ever', { ttlMs: Infinity }));
    const since = performance.now();
    await waitUntil(() => performance.now() - since > 300, { what: 'it is old' });
    await net.serve([Late], {}, (_app, server) => {
      server.on('transport.expired', ({ pattern, ageMs }) => void expired.push(`${pattern} ${ageMs > 290 && ageMs < 20_000}`));
      ages = (headers) => left.push(headers['nrs-ttl']!);
    });
    await waitUntil(() => seen.length >= 2 && expired.length > 0, { what: 'all are settled', timeoutMs: 15_000 });
    expect(seen.map(([data]) => data).toSorted()).toEqual(['for ever', 'young']);
    expect(expired).toEqual(['late true']);
    expect(left.toSorted((a, b) => Number(a) - Number(b))).toEqual([expect.stringMatching(/^[345]\d{4}$/), 'Infinity']);
    expect(Number(left.find((text) => text !== 'Infinity'))).toBeLessThan(59_750);
  });

  it('with msgpack, forwarded as it is', async () => {
    const client = net.client({ transport: { codec: 'msgpack' } });
    await client.emitAsync('late', { at: new Date(5) });
    await net.serve([Late]);
    await waitUntil(() => seen.length > 0, { what: 'it is handled', timeoutMs: 15_000 });
    expect(seen).toEqual([[{ at: new Date(5) }, {}, 1]]);
  });

  it('is a dead letter after ten looks; replayed when its service is there, it is handled', async () => {
    await net.serve([Other]);
    const client = net.client();
    await client.emitAsync('late', 7);
    const letters = await net.letters(client, 'unrouted');
    await waitUntil(async () => (await letters.count()) === 1, { what: 'it is a dead letter', timeoutMs: 30_000, intervalMs: 100 });
    expect((await letters.list())[0]).toMatchObject({ reason: 'unknown-pattern', data: 7, headers: { 'nrs-pattern': 'late' }, error: expect.stringContaining('late') });
    expect(await ask(client, 'other', 1)).toBe('here');
    await net.serve([Late]);
    expect(await letters.replayAll()).toMatchObject({ replayed: 1 });
    await waitUntil(() => seen.length === 1, { what: 'it is handled', timeoutMs: 15_000 });
    expect(seen).toEqual([[7, {}, 1]]);
    expect(await letters.count()).toBe(0);
  });

  it('without the name of its pattern, put there by hand, is a dead letter and holds up nobody', async () => {
    await net.serve([Late]);
    const client = net.client();
    await client.connect();
    await client.unwrap<RedisStreamsEngine>().queues().queue({ queue: 'unrouted', namespace: net.namespace }).send('whose?');
    const letters = await net.letters(client, 'unrouted');
    await waitUntil(async () => (await letters.count()) === 1, { what: 'it is a dead letter' });
    expect((await letters.list())[0]).toMatchObject({ reason: 'no-pattern' });
  });
});
