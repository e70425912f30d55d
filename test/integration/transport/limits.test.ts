import { Controller } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import type { RedisStreamsClient } from 'nestjs-redis-streams/transport';
import { beforeEach, describe, expect, it } from 'vitest';
import { ask, failureOf, Net, waitUntil } from './support/net.js';
import { seen, SeeingEvents } from './support/seeing.js';

const net = new Net();
beforeEach(() => void (seen.length = 0));

@Controller()
class Handlers extends SeeingEvents {
  @MessagePattern('size')
  size(@Payload() data: unknown): number {
    return JSON.stringify(data).length;
  }
  @MessagePattern('grow')
  grow(@Payload() n: number): unknown {
    return 'x'.repeat(n);
  }
  @MessagePattern('deepen')
  deepen(@Payload() n: number): unknown {
    return deep(n);
  }
  @MessagePattern('cycle')
  cycle(): unknown {
    const a: Record<string, unknown> = {};
    return (a['a'] = a);
  }
  @MessagePattern('big')
  big(): unknown {
    return { big: 1n };
  }
}

function deep(levels: number): unknown {
  let value: unknown = 'bottom';
  for (let n = 0; n < levels; n++) value = n % 2 ? { value } : [value];
  return value;
}

describe('a client', () => {
  it('refuses what is too large, too deep, or no data at all, at once, and goes on', async () => {
    await net.serve([Handlers]);
    const client = net.client({ transport: { maxBytes: 1_000, maxDepth: 5 } });
    const cycle: Record<string, unknown> = {};
    cycle['cycle'] = cycle;
    for (const [data, what] of [['ü'.repeat(600), /1000 bytes/], [deep(6), /deeper than 5/], [cycle, /deeper/], [{ big: 1n }, /BigInt/]] as const) {
      expect(await failureOf(client.emitAsync('event', data))).toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringMatching(what) });
      expect(await failureOf(ask(client, 'size', data))).toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringMatching(what) });
    }
    expect(await ask(client, 'size', deep(5))).toBeGreaterThan(10);
    expect(await ask(client, 'size', 'x'.repeat(900))).toBe(902);
    expect(await net.replyStreams()).toHaveLength(1);
  });
});

describe('a server', () => {
  it('puts what is too large or too deep for it among the dead letters, tells who has asked, and goes on', async () => {
    await net.serve([Handlers], { transport: { maxBytes: 1_000, maxDepth: 5 } });
    const client = net.client();
    const letters = { event: await net.letters(client, 'event.event'), size: await net.letters(client, 'request.size') };
    for (const data of ['x'.repeat(2_000), deep(6), 'fine']) await client.emitAsync('event', data);
    for (const data of ['x'.repeat(2_000), deep(6)]) expect(await failureOf(ask(client, 'size', data))).toMatchObject({ status: 'error' });
    expect(await ask(client, 'size', 'fine')).toBe(6);
    await waitUntil(async () => (await letters.event.count()) === 2 && (await letters.size.count()) === 2, { what: 'they are dead letters' });
    for (const each of [letters.event, letters.size]) expect((await each.list()).map(({ reason }) => reason).toSorted()).toEqual(['too-large', 'unreadable']);
    await waitUntil(() => seen.length === 1, { what: 'the event that is fine is handled' });
    expect(seen).toEqual(['fine']);
  });

  it('also of msgpack', async () => {
    await net.serve([Handlers], { transport: { maxDepth: 5 } });
    const client = net.client({ transport: { codec: 'msgpack' } });
    const letters = await net.letters(client, 'event.event');
    await client.emitAsync('event', deep(6));
    await client.emitAsync('event', deep(5));
    await waitUntil(async () => (await letters.count()) === 1, { what: 'the deeper one is a dead letter' });
    await waitUntil(() => seen.length === 1, { what: 'the other is handled' });
  });

  it('whose reply is too large, too deep, or no data fails the request, and answers the next', async () => {
    await net.serve([Handlers], { transport: { maxBytes: 1_000, maxDepth: 5, requests: { retry: { maxAttempts: 2, initialMs: 10 } } } });
    const client = net.client({ transport: { requestTimeoutMs: 10_000 } });
    for (const [pattern, n] of [['grow', 2_000], ['deepen', 6], ['cycle', 1], ['big', 1]] as const) {
      expect(await failureOf(ask(client, pattern, n)), pattern).not.toMatchObject({ code: 'REQUEST_TIMEOUT' });
    }
    expect(await ask(client, 'grow', 10)).toBe('xxxxxxxxxx');
  });

  it('survives whatever somebody puts into its queues: nothing is lost, and it goes on', async () => {
    await net.serve([Handlers]);
    const client = net.client();
    await client.connect();
    expect(await ask(client, 'size', 'a')).toBe(3);
    const stream = await messagesKey(client, 'request.size');
    const raw = (...fields: string[]) => net.redis.cli('XADD', stream, '*', ...fields);
    await raw('data', '{no json', 'headers', '{}');
    await raw('data', '1');
    await raw('nothing', 'of this');
    await raw('data', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'headers', '{"nrs-replies":"{transport:t:x}:replies","nrs-request":"1"}');
    await raw('data', '1', 'headers', 'no headers');
    await raw('data', '1', 'headers', '{"nrs-replies":"{transport:t:list}:replies","nrs-request":"1"}');
    await net.redis.cli('LPUSH', '{transport:t:list}:replies', 'not a stream');
    expect(await ask(client, 'size', 'b')).toBe(3);
    const letters = await net.letters(client, 'request.size');
    await waitUntil(async () => (await letters.count()) >= 5 && (await net.redis.cli('XLEN', stream)) === 0, { what: 'all are settled', timeoutMs: 30_000 });
    expect(await ask(client, 'size', 'c')).toBe(3);
    const reasons = (await letters.list()).map(({ reason }) => reason).toSorted();
    expect(reasons).toContain('no-reply-address');
  });
});

async function messagesKey(client: RedisStreamsClient, queue: string): Promise<string> {
  const parts = (client.unwrap() as unknown as { partsOf(name: string): { queueRegistry: { find(name: string): Promise<{ keys: Array<{ messages: string }> }> } } }).partsOf('default');
  return (await parts.queueRegistry.find(`${net.namespace}:${queue}`)).keys[0]!.messages;
}
