import { setTimeout as sleep } from 'node:timers/promises';
import { Controller } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { RedisStreamsEngine, RedisStreamsModule } from 'nestjs-redis-streams';
import { RedisStreamsClient, RedisStreamsServer, streamOptions } from 'nestjs-redis-streams/transport';
import { beforeEach, describe, expect, it } from 'vitest';
import { ask, failureOf, moduleOf, Net, QUIET, waitUntil } from './support/net.js';
import { seen, SeeingEvents } from './support/seeing.js';

const net = new Net();
beforeEach(() => void (seen.length = 0));

@Controller()
class Handlers extends SeeingEvents {
  @MessagePattern('double')
  double(@Payload() n: number): number {
    seen.push(n);
    return n * 2;
  }
}

@Controller()
class OrderedAndBroadcast {
  @EventPattern<unknown>('prices', streamOptions({ partitions: 2 }))
  ordered(): void {
    seen.push('ordered');
  }
  @EventPattern<unknown>('prices', streamOptions({ broadcast: true }))
  all(): void {
    seen.push('broadcast');
  }
}

describe('the transport', () => {
  it('acknowledges requests also where queues are acknowledged by hand', async () => {
    await net.serve([Handlers], { queue: { ack: 'manual' }, transport: { requests: { concurrency: 2 } } });
    const client = net.client({ transport: { requestTimeoutMs: 5_000 } });
    for (let i = 0; i < 6; i++) expect(await ask(client, 'double', i)).toBe(2 * i);
  });

  it('refuses a second server on one engine and namespace in words, and the first works on', async () => {
    const engine = net.onEnd(new RedisStreamsEngine(net.options()), (each) => each.stop());
    await engine.start();
    const listening = (namespace: string): Promise<unknown> => {
      const server = net.onEnd(new RedisStreamsServer({ engine, transport: { ...net.options().transport, namespace } }), (each) => each.close());
      server.addHandler('echo', async (data: unknown) => data);
      return new Promise((resolve) => void server.listen(resolve));
    };
    expect(await listening(net.namespace)).toBeUndefined();
    expect(await listening(net.namespace)).toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('has a server of this namespace already') });
    expect(await listening(`${net.namespace}b`)).toBeUndefined();
    expect(await ask(net.client(), 'echo', 1)).toBe(1);
  });

  it('refuses a connection that is not there, and two clients of one name, when the application is created', async () => {
    const create = (clients: Parameters<typeof RedisStreamsModule.registerClient>[0]) => NestFactory.createApplicationContext(moduleOf({ imports: [RedisStreamsModule.forRoot(net.options()), RedisStreamsModule.registerClient(clients)] }), QUIET);
    expect(await failureOf(create({ transport: { connection: 'nope' } }))).toMatchObject({ code: 'INVALID_OPTIONS', problems: [{ path: 'transport.connection', message: expect.stringContaining('must be one of default') }] });
    expect(await failureOf(create([{}, { name: 'other' }, { transport: { requestTimeoutMs: 1 } }]))).toMatchObject({ code: 'INVALID_OPTIONS', problems: [{ path: 'client', message: expect.stringContaining('twice') }] });
    expect(await failureOf(create([{ name: 'other' }, { name: 'other' }]))).toMatchObject({ problems: [{ path: 'client "other"' }] });
    const app = await create([{}, { name: 'other' }]);
    await app.close();
  });

  it('leaves nothing with the engine when it cannot start: a connection that is not there', async () => {
    const engine = net.onEnd(new RedisStreamsEngine(net.options()), (each) => each.stop());
    await engine.start();
    const { closers } = engine as unknown as { closers: Set<unknown> };
    const server = new RedisStreamsServer({ engine, transport: { ...net.options().transport, connection: 'nope' } });
    for (let i = 0; i < 3; i++) expect(await new Promise((resolve) => void server.listen(resolve))).toMatchObject({ code: 'INVALID_OPTIONS' });
    expect(closers.size).toBe(0);
  });

  it('of services that give one pattern to both kinds at the same moment, not both believe that they will be given its events', async () => {
    const kinds = [{ partitions: 1 }, {}] as const;
    for (let round = 0; round < 10; round++) {
      const said = await Promise.all(kinds.map((options, i) => {
        const server = net.onEnd(new RedisStreamsServer(net.options({ transport: { service: `svc${i}` } })), (each) => each.close());
        server.addHandler(`event${round}`, async () => undefined, true, streamOptions(options));
        return new Promise<unknown>((resolve) => void server.listen(resolve));
      }));
      expect(said.some((error) => (error as { code?: string } | undefined)?.code === 'PATTERN_MISMATCH'), `round ${round}`).toBe(true);
    }
  });

  it('refuses patterns that are none, and says what they may be', async () => {
    await net.serve([Handlers]);
    const client = net.client();
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', note);
    const ring: Record<string, unknown> = {};
    ring['ring'] = ring;
    try {
      for (const pattern of [true, Symbol('s'), () => 1, 1n]) {
        for (const send of [() => ask(client, pattern, 1), () => client.emitAsync(pattern, 1)]) {
          expect(await failureOf(send())).toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('pattern: must be a string, a number or an object') });
        }
        client.emit(pattern, 'nobody looks');
      }
      client.emit(ring, 'nobody looks');
      for (const pattern of [undefined, null]) expect(await failureOf(client.emitAsync(pattern, 1))).toMatchObject({ code: 'INVALID_OPTIONS' });
      expect(await failureOf(client.emitAsync('', 1))).toMatchObject({ message: expect.stringContaining('is empty or too long') });
      expect(await ask(client, 'double', 2)).toBe(4);
    } finally {
      process.off('unhandledRejection', note);
    }
    expect(unhandled).toEqual([]);
    const wrong = new RedisStreamsServer(net.options());
    expect(() => wrong.addHandler(true, async () => undefined)).toThrow('pattern: must be a string, a number or an object');
    wrong.addHandler('', async () => undefined, true);
    const said = await new Promise<unknown>((resolve) => void wrong.listen(resolve));
    expect(said).toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('is empty or too long') });
  });

  it('refuses handlers with partitions beside others with broadcast, and registers neither', async () => {
    await expect(net.serve([OrderedAndBroadcast])).rejects.toThrow(/event prices: has handlers with `partitions` and others with `broadcast`/);
    expect(await net.redis.cli('KEYS', '*prices*')).toEqual([]);
  });

  it('writes replies to nothing else, whatever a header says; and loses nothing over an expiry that is none', async () => {
    const { engine } = await net.serve([Handlers]);
    await net.redis.cli('XADD', 'audit', '*', 'who', 'me');
    const queue = (name: string) => engine.queues().queue({ queue: name, namespace: net.namespace });
    await queue('request.double').send(1, { headers: { 'nrs-replies': 'audit', 'nrs-request': 'x' } });
    await queue('event.event').send('kept', { headers: { 'nrs-ttl': 'soon' } });
    const letters = await net.letters(net.client(), 'request.double');
    await waitUntil(async () => (await letters.count()) === 1 && seen.length === 1, { what: 'both are settled' });
    expect((await letters.list()).map(({ reason }) => reason)).toEqual(['no-reply-address']);
    expect(seen).toEqual(['kept']);
    expect(await net.redis.cli('XLEN', 'audit')).toBe(1);
  });

  it('sends no request of a client that was closed over its serializer', async () => {
    await net.serve([Handlers]);
    let encoded = (): void => undefined;
    const encoding = new Promise<void>((resolve) => (encoded = resolve));
    let begun = 0;
    const serialize = async (packet: unknown): Promise<unknown> => {
      if (++begun > 1) await encoding;
      return packet;
    };
    const engine = net.onEnd(new RedisStreamsEngine(net.options()), (each) => each.stop());
    await engine.start();
    const client = new RedisStreamsClient({ engine, transport: { ...net.options().transport, serializer: { serialize } } });
    expect(await ask(client, 'double', 1)).toBe(2);
    const failure = failureOf(ask(client, 'double', 2));
    await waitUntil(() => begun === 2, { what: 'the request is being serialized' });
    await client.close();
    encoded();
    expect(await failure).toMatchObject({ code: 'CLOSED' });
    expect(seen).toEqual([1]);
  });

  it('opens no client on an engine whose clients were closed: nobody would close it', async () => {
    const engine = new RedisStreamsEngine(net.options());
    await engine.start();
    const client = new RedisStreamsClient({ engine, transport: net.options().transport });
    await client.connect();
    let troubles = 0;
    engine.events.on('reader.error', () => void troubles++);
    let asked: Promise<unknown> | undefined;
    engine.beforeClose(async () => {
      await client.close();
      asked = failureOf(ask(client, 'double', 1));
      await sleep(100);
    });
    await engine.stop();
    expect(await asked).toMatchObject({ code: 'CLOSED' });
    await sleep(600); // one that reads for ever fails each 250 ms
    expect(troubles).toBe(0);
  });
});
