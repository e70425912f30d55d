import { Controller, Injectable, Module, type OnModuleDestroy, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { InjectStreamsClient, RedisStreamsEngine, RedisStreamsModule } from 'nestjs-redis-streams';
import { RedisStreamsClient, RedisStreamsContext, RedisStreamsServer, streamOptions } from 'nestjs-redis-streams/transport';
import { interval, type Observable } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { startProxy, type TcpProxy } from '../../support/tcp-proxy.js';
import { ask, Gate, Net, QUIET, waitUntil } from './support/net.js';

const net = new Net();
let log: unknown[] = [];
let gate = new Gate();
beforeEach(() => {
  log = [];
  gate = new Gate();
});

@Controller()
class Echo {
  @MessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    return data;
  }
  @EventPattern<unknown>('happened')
  happened(@Payload() data: unknown): void {
    log.push(data);
  }
}
async function proxied(): Promise<TcpProxy> {
  return net.onEnd(await startProxy(net.redis.port), (made) => made.stop());
}

describe('a server', () => {
  it('that is closed while it starts to listen ends, and leaves no connection', async () => {
    const serverAt = (url: string): RedisStreamsServer => {
      const server = new RedisStreamsServer(net.options({ url }));
      server.addHandler('echo', async () => 1);
      server.addHandler('happened', async () => 1, true);
      server.addHandler('cache', async () => 1, true, streamOptions({ broadcast: true }));
      return server;
    };
    // So that all that follow find the queue.
    const before = serverAt(net.redis.url);
    await before.listen(() => undefined);
    await before.close();
    for (const ms of [0, 5, 10, 20, 40, 80, 160]) {
      const proxy = await proxied();
      const server = serverAt(proxy.url);
      const told: unknown[] = [];
      const listening = server.listen((error) => told.push(error));
      await new Promise((resolve) => setTimeout(resolve, ms));
      await server.close();
      await listening;
      expect(told).toHaveLength(1);
      await server.close();
      await waitUntil(() => proxy.stats.open === 0, { what: `no connection is left of a listen that was closed after ${ms} ms` });
    }
    const client = net.client();
    await client.connect();
    const { groups } = await client.unwrap<RedisStreamsEngine>().queues().stats({ queue: 'event.cache', namespace: net.namespace }, 'svc');
    expect(groups.filter((group) => group.includes('.each.'))).toEqual([]);
  });

  it('that is closed over a start that takes longer than drainMs: what joins behind it leaves again, and the engine may have the next', async () => {
    const engine = net.onEnd(new RedisStreamsEngine(net.options({ shutdown: { drainMs: 200 } })), (each) => each.stop());
    await engine.start();
    const run = engine.runQueueConsumer.bind(engine);
    let waits = 0;
    // As when Redis is slow to answer: this one has joined before its server hears of it.
    engine.runQueueConsumer = async (...given) => {
      const consumer = await run(...given);
      waits++;
      await gate.opened;
      return consumer;
    };
    const served = (): RedisStreamsServer => {
      const server = net.onEnd(new RedisStreamsServer({ engine, transport: net.options().transport }), (each) => each.close());
      server.addHandler('echo', async (data: unknown) => data);
      return server;
    };
    const server = served();
    const said = new Promise<unknown>((resolve) => void server.listen(resolve));
    await waitUntil(() => waits === 2, { what: 'its consumers have joined' });
    await server.close();
    gate.open();
    await said;
    engine.runQueueConsumer = run;
    const next = served();
    await waitUntil(async () => (await new Promise((resolve) => void next.listen(resolve))) === undefined, { what: 'the next one listens' });
    expect(await ask(net.client(), 'echo', 1)).toBe(1);
  });

  it('listens again after its close', async () => {
    const server = new RedisStreamsServer(net.options());
    server.addHandler('echo', async (data: unknown) => data);
    net.onEnd(server, () => server.close());
    const client = net.client();
    for (let n = 0; n < 3; n++) {
      expect(await new Promise((resolve) => void server.listen(resolve))).toBeUndefined();
      expect(await ask(client, 'echo', n + 1)).toBe(n + 1);
      await Promise.all([server.close(), server.close()]);
    }
  });

  it('that is closed over a start without an answer listens again, and stays when the first start fails at last', async () => {
    const proxy = await proxied();
    const server = net.onEnd(new RedisStreamsServer(net.options({ url: proxy.url, startTimeoutMs: 1_500, shutdown: { drainMs: 100 } })), (each) => each.close());
    server.addHandler('echo', async (data: unknown) => data);
    proxy.blackhole(true);
    const first: unknown[] = [];
    void server.listen((error) => first.push(error));
    await waitUntil(() => proxy.stats.swallowedBytes > 0, { what: 'it has asked' });
    await server.close();
    expect(first).toEqual([]);
    proxy.blackhole(false);
    expect(await new Promise((resolve) => void server.listen(resolve))).toBeUndefined();
    await waitUntil(() => first.length === 1, { what: 'the first start has failed' });
    expect(first).toMatchObject([{ message: expect.stringMatching(/closed|did not answer/) }]);
    expect(server.unwrap()).toBeInstanceOf(RedisStreamsEngine);
    expect(await ask(net.client(), 'echo', 1)).toBe(1);
  });

  it('told to listen twice says so, and works on', async () => {
    const server = new RedisStreamsServer(net.options());
    server.addHandler('echo', async (data: unknown) => data);
    net.onEnd(server, () => server.close());
    expect(await new Promise((resolve) => void server.listen(resolve))).toBeUndefined();
    expect(await new Promise((resolve) => void server.listen(resolve))).toMatchObject({ message: expect.stringContaining('listens already') });
    expect(await ask(net.client(), 'echo', 1)).toBe(1);
  });
});

describe('a client', () => {
  it('that is closed while it connects, or connects while it is closed, is what it was told last', async () => {
    await net.serve([Echo]);
    const proxy = await proxied();
    const client = net.client({ url: proxy.url });
    const connecting = client.connect();
    await client.close();
    await connecting.catch(() => undefined);
    await waitUntil(() => proxy.stats.open === 0, { what: 'no connection is left' });
    expect(await ask(client, 'echo', 1)).toBe(1);
    const [, reply] = await Promise.all([client.close(), ask(client, 'echo', 2)]);
    expect(reply).toBe(2);
    await client.close();
    await waitUntil(() => proxy.stats.open === 0, { what: 'no connection is left' });
    expect(await net.replyStreams()).toEqual([]);
  });

  it('that was used between two closes is closed by the second', async () => {
    await net.serve([Echo]);
    const proxy = await proxied();
    const client = net.client({ url: proxy.url });
    expect(await ask(client, 'echo', 1)).toBe(1);
    const first = client.close();
    const between = ask(client, 'echo', 2).catch(() => undefined); // answered or failed, as it comes
    await Promise.all([client.close(), client.close()]);
    await Promise.all([first, between]);
    await waitUntil(() => proxy.stats.open === 0, { what: 'no connection is left' });
    expect(await net.replyStreams()).toEqual([]);
  });

  it('tells its status: also that its connection is gone, and back', async () => {
    await net.serve([Echo]);
    const proxy = await proxied();
    const client = net.client({ url: proxy.url });
    const statuses: string[] = [];
    client.status.subscribe((status) => statuses.push(status));
    await client.connect();
    expect(statuses.at(-1)).toBe('connected');
    proxy.cutAll();
    await waitUntil(() => statuses.includes('reconnecting') && statuses.at(-1) === 'connected', { what: 'it is back' });
    expect(await ask(client, 'echo', 1)).toBe(1);
    await client.close();
    expect(statuses.at(-1)).toBe('disconnected');
  });
});

describe('while an application closes', () => {
  it('its handlers still ask and emit, and so do destroy hooks; then its clients close', async () => {
    await net.serve([Echo]);
    @Controller()
    class Relay {
      constructor(@InjectStreamsClient() private readonly client: RedisStreamsClient) {}
      @MessagePattern('relay')
      async relay(@Payload() data: unknown): Promise<unknown> {
        log.push('begun');
        await gate.opened;
        await this.client.emitAsync('happened', 'of a handler');
        return ask(this.client, 'echo', data);
      }
    }
    @Injectable()
    class Farewell implements OnModuleDestroy {
      constructor(@InjectStreamsClient() private readonly client: RedisStreamsClient) {}
      async onModuleDestroy(): Promise<void> {
        await this.client.emitAsync('happened', 'of a hook');
      }
    }
    @Module({ imports: [RedisStreamsModule.forRoot(net.options({ transport: { service: 'relay' } })), RedisStreamsModule.registerClient()], controllers: [Relay], providers: [Farewell] })
    class App {}
    const app = await NestFactory.create(App as Type, QUIET);
    app.connectMicroservice({ strategy: app.get(RedisStreamsServer) });
    await app.startAllMicroservices();
    const reply = ask(net.client(), 'relay', 'x');
    await waitUntil(() => log.length === 1, { what: 'the handler runs' });
    const closing = app.close();
    setTimeout(gate.open, 100);
    expect(await reply).toBe('x');
    await closing;
    await waitUntil(() => log.length === 3, { what: 'both events are handled' });
    expect(log.slice(1).map(String).toSorted()).toEqual(['of a handler', 'of a hook']);
    expect(await net.replyStreams()).toHaveLength(1); // that of the test's own client
  });
});

describe('a handler that takes too long', () => {
  it('is told by its signal, its stream is ended, and it is run again', async () => {
    let ended = 0;
    @Controller()
    class Slow {
      @EventPattern<unknown>('slow', streamOptions({ maxProcessingMs: 100, retry: { initialMs: 10, maxAttempts: 2 } }))
      slow(@Payload() data: unknown, @Ctx() { signal }: RedisStreamsContext): Observable<unknown> {
        log.push(data);
        signal.addEventListener('abort', () => ended++);
        return interval(5);
      }
    }
    await net.serve([Slow]);
    const client = net.client();
    await client.emitAsync('slow', 's');
    const letters = await net.letters(client, 'event.slow');
    await waitUntil(async () => (await letters.count()) === 1, { what: 'it is a dead letter' });
    expect([log, ended]).toEqual([['s', 's'], 2]);
  });
});

