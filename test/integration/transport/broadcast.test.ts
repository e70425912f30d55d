import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import type { RedisStreamsEngine } from 'nestjs-redis-streams';
import { type RedisStreamsClient, RedisStreamsContext, streamOptions } from 'nestjs-redis-streams/transport';
import { beforeEach, describe, expect, it } from 'vitest';
import { startChild } from './fixtures/child.js';
import { Net, waitUntil } from './support/net.js';

const net = new Net();
let seen: Array<readonly [string, unknown, number]> = [];
beforeEach(() => void (seen = []));
const of = (who: string): unknown[] => seen.filter(([by]) => by === who).map(([, data]) => data);

function handlersOf(who: string) {
  @Controller()
  class Handlers {
    @EventPattern<unknown>('cache', streamOptions({ broadcast: true, retry: { initialMs: 10, factor: 1, jitter: 0 } }))
    cache(@Payload() data: unknown, @Ctx() { attempt }: RedisStreamsContext): void {
      seen.push([who, data, attempt]);
      if (data === 'retry' && who === 'b' && attempt === 1) throw new Error('again');
    }
  }
  @Controller()
  class Shared {
    @EventPattern<unknown>('cache')
    once(@Payload() data: unknown): void {
      seen.push(['once', data, 0]);
    }
  }
  return [Handlers, Shared];
}

async function groups(client: RedisStreamsClient): Promise<string[]> {
  const queues = client.unwrap<RedisStreamsEngine>().queues();
  return [...(await queues.stats({ queue: 'event.cache', namespace: net.namespace }, 'svc')).groups].toSorted();
}

describe('an event that is broadcast', () => {
  it('goes to each live instance, and once to the service beside; a retry is of that instance alone', async () => {
    const instances = await Promise.all(['a', 'b', 'c'].map((who) => net.serve(handlersOf(who))));
    const client = net.client();
    for (const data of [1, 'retry', 3]) await client.emitAsync('cache', data);
    await waitUntil(() => seen.length >= 3 * 3 + 1 + 3, { what: 'all have it' });
    for (const who of ['a', 'c', 'once']) expect(of(who).toSorted()).toEqual([1, 3, 'retry']);
    expect(of('b').toSorted()).toEqual([1, 3, 'retry', 'retry']);
    expect(await groups(client)).toEqual(['svc', ...Array.from({ length: 3 }, () => expect.stringMatching(/^svc\.each\.[0-9a-f]+$/))]);
    // One that leaves takes its group along; what is sent then is kept for nobody.
    await instances[0]!.app.close();
    expect(await groups(client)).toHaveLength(3);
    await client.emitAsync('cache', 4);
    await waitUntil(() => of('b').includes(4) && of('c').includes(4) && of('once').includes(4), { what: 'the others have it' });
    expect(of('a')).not.toContain(4);
    const { engine } = instances[1]!;
    await waitUntil(async () => (await engine.queues().stats({ queue: 'event.cache', namespace: net.namespace }, 'svc')).messages === 0, { what: 'nothing is left' });
  });

  it('of before its start an instance does not get', async () => {
    await net.serve(handlersOf('a'));
    const client = net.client();
    await client.emitAsync('cache', 'before');
    await waitUntil(() => of('a').length === 1, { what: 'the first has it' });
    await net.serve(handlersOf('late'));
    await client.emitAsync('cache', 'after');
    await waitUntil(() => of('late').length > 0 && of('a').length === 2, { what: 'both have the next' });
    expect(of('late')).toEqual(['after']);
  });

  it('of an instance that was killed: the others of its service remove its group, and its messages with it', async () => {
    const child = await startChild(net, { kind: 'microservice' });
    await net.serve(handlersOf('a'));
    const client = net.client();
    await client.connect();
    expect(await groups(client)).toHaveLength(3);
    await child.kill();
    await client.emitAsync('cache', 1);
    await waitUntil(() => of('a').length === 1 && of('once').length === 1, { what: 'the living have it' });
    await waitUntil(async () => (await groups(client)).length === 2, { what: 'its group is gone', timeoutMs: 45_000, intervalMs: 200 });
    const stats = await client.unwrap<RedisStreamsEngine>().queues().stats({ queue: 'event.cache', namespace: net.namespace }, 'svc');
    expect(stats.messages).toBe(0);
    // One that lives but waits keeps its own.
    await client.emitAsync('cache', 2);
    await waitUntil(() => of('a').length === 2, { what: 'the living have the next' });
  });
});
