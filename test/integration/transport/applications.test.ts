import type { AddressInfo } from 'node:net';
import { Controller, Get, Inject, Module, Post, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientsModule, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { InjectStreamsClient, RedisStreamsEngine, RedisStreamsHealth, RedisStreamsModule } from 'nestjs-redis-streams';
import { RedisStreamsClient, RedisStreamsServer } from 'nestjs-redis-streams/transport';
import { firstValueFrom, type Observable } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../support/free-port.js';
import { startRedis } from '../../support/redis-server.js';
import { ask, failureOf, Net, QUIET, waitUntil } from './support/net.js';

const net = new Net();
let ran: unknown[] = [];
beforeEach(() => void (ran = []));

@Controller()
class Handlers {
  @MessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    ran.push(data);
    return data;
  }
  @EventPattern<unknown>('happened')
  happened(@Payload() data: unknown): void {
    ran.push(data);
  }
}
@Controller('api')
class Api {
  constructor(@InjectStreamsClient() readonly client: RedisStreamsClient) {}
  @Get()
  get(): Observable<unknown> {
    return this.client.send('echo', 'over http');
  }
  @Post()
  async post(): Promise<string> {
    await this.client.emitAsync('happened', 'posted');
    return 'stored';
  }
}

function moduleWith(controllers: Type[], imports: NonNullable<unknown>[] = [RedisStreamsModule.registerClient()]): Type {
  @Module({ controllers, imports: [RedisStreamsModule.forRoot(net.options()), ...(imports as Type[])] })
  class App {}
  return App;
}
const connections = async (): Promise<number> => String(await net.redis.cli('CLIENT', 'LIST')).trim().split('\n').length - 1;

describe('an application', () => {
  it('hybrid, with the module\'s engine: each handler is bound once, client and server share its connections, and its close leaves none', async () => {
    const before = await connections();
    const app = await NestFactory.create(moduleWith([Handlers, Api]), QUIET);
    net.onEnd(app, () => app.close());
    app.connectMicroservice({ strategy: app.get(RedisStreamsServer) }, { inheritAppConfig: true });
    await app.startAllMicroservices();
    await app.listen(0, '127.0.0.1');
    const url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}/api`;
    expect(await (await fetch(url)).text()).toBe('over http');
    expect(await (await fetch(url, { method: 'POST' })).text()).toBe('stored');
    await waitUntil(() => ran.length === 2, { what: 'both have run' });
    expect(ran).toEqual(['over http', 'posted']);
    expect(app.get(RedisStreamsServer).unwrap()).toBe(app.get(RedisStreamsEngine));
    expect(app.get(Api).client.unwrap()).toBe(app.get(RedisStreamsEngine));
    expect(await firstValueFrom(app.get(RedisStreamsServer).status)).toBe('connected');
    expect(await firstValueFrom(app.get(Api).client.status)).toBe('connected');
    expect(await app.get(RedisStreamsHealth).check()).toMatchObject({ redisStreams: { status: 'up' } });
    await app.close();
    expect(await net.replyStreams()).toEqual([]);
    await waitUntil(async () => (await connections()) <= before, { what: 'no connection is left' });
  });

  it('with HTTP alone: its client sends and asks, and close ends it', async () => {
    await net.serve([Handlers]);
    const app = await NestFactory.create(moduleWith([Api]), QUIET);
    net.onEnd(app, () => app.close());
    await app.listen(0, '127.0.0.1');
    const url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}/api`;
    expect(await (await fetch(url)).text()).toBe('over http');
    const open = failureOf(ask(app.get(Api).client, 'never handled', 1));
    await app.close();
    expect(await open).toMatchObject({ code: expect.stringMatching(/CLOSED|NO_HANDLER/) });
    expect(await net.replyStreams()).toEqual([]);
  });

  it('has several clients by their names, each with its own settings', async () => {
    @Controller()
    class Two {
      constructor(@InjectStreamsClient() readonly plain: RedisStreamsClient, @InjectStreamsClient('hasty') readonly hasty: RedisStreamsClient, @InjectStreamsClient('other') readonly other: RedisStreamsClient) {}
    }
    await net.serve([Handlers]);
    const clients = RedisStreamsModule.registerClient([{}, { name: 'hasty', transport: { handlerWaitMs: 50 } }, { name: 'other', transport: { namespace: `${net.namespace}-x`, handlerWaitMs: 50 } }]);
    const app = await NestFactory.createApplicationContext(moduleWith([Two], [clients]), QUIET);
    net.onEnd(app, () => app.close());
    const { plain, hasty, other } = app.get(Two);
    expect([await ask(plain, 'echo', 1), await ask(hasty, 'echo', 2)]).toEqual([1, 2]);
    expect(await failureOf(ask(other, 'echo', 3))).toMatchObject({ code: 'NO_HANDLER', message: expect.stringContaining('50 ms') });
  });

  it('with ClientsModule and customClass, closed by Nest', async () => {
    await net.serve([Handlers]);
    @Controller()
    class Asking {
      constructor(@Inject('ORDERS') readonly client: RedisStreamsClient) {}
    }
    const { connection, session, onError, transport } = net.options();
    @Module({ imports: [ClientsModule.register([{ name: 'ORDERS', customClass: RedisStreamsClient, options: { connection, session, onError, transport } }])], controllers: [Asking] })
    class App {}
    const app = await NestFactory.createApplicationContext(App, QUIET);
    const { client } = app.get(Asking);
    expect(client).toBeInstanceOf(RedisStreamsClient);
    expect(await ask(client, 'echo', 1)).toBe(1);
    await app.close();
    expect(await net.replyStreams()).toEqual([]);
  });

  it('microservice: tells its status, its events, and what is underneath; may not be asked before it listens', async () => {
    const server = new RedisStreamsServer(net.options());
    expect(() => server.unwrap()).toThrow(/listen/);
    const ready: string[] = [];
    server.on('connection.ready', ({ connection }) => void ready.push(connection));
    const statuses: string[] = [];
    server.status.subscribe((status) => statuses.push(status));
    @Module({ controllers: [Handlers] })
    class App {}
    const app = await NestFactory.createMicroservice(App, { ...QUIET, strategy: server });
    net.onEnd(app, () => app.close());
    await app.listen();
    expect(server.unwrap()).toBeInstanceOf(RedisStreamsEngine);
    await waitUntil(() => statuses.at(-1) === 'connected' && ready.includes('default'), { what: 'it tells that it is connected' });
    await app.close();
    expect(statuses.at(-1)).toBe('disconnected');
  });
});

describe('a mistake', () => {
  const listen = async (options: object, controllers: Type[] = [Handlers]): Promise<unknown> => {
    const before = performance.now();
    const error = await failureOf((async () => {
      const server = new RedisStreamsServer({ ...net.options(), ...options });
      @Module({ controllers })
      class App {}
      const app = await NestFactory.createMicroservice(App, { ...QUIET, strategy: server });
      net.onEnd(app, () => app.close());
      await app.listen();
    })());
    expect(performance.now() - before).toBeLessThan(20_000);
    return error;
  };

  it('no Redis where one should be: listen fails in time and says what to do', async () => {
    const error = await listen({ connection: { url: `redis://127.0.0.1:${await freePort()}` }, commandTimeoutMs: 1_000 });
    expect(error).toMatchObject({ code: expect.stringMatching(/CONNECTION/), message: expect.stringMatching(/127\.0\.0\.1|Redis/) });
  });

  it('no Redis for a client: what it sends fails in time, and the next is sent once Redis is there', async () => {
    const port = await freePort();
    const client = net.client({ url: `redis://127.0.0.1:${port}`, commandTimeoutMs: 500 });
    for (const what of [client.connect(), ask(client, 'echo', 1), client.emitAsync('happened', 1)]) expect(await failureOf(what)).toMatchObject({ code: expect.stringMatching(/CONNECTION/) });
    const late = net.onEnd(await startRedis({ port }), (made) => made.stop());
    await net.serve([Handlers], { url: late.url });
    expect(await ask(client, 'echo', 'later')).toBe('later');
    await client.emitAsync('happened', 'later');
    await waitUntil(() => ran.length === 2, { what: 'both have run' });
  });

  it('wrong options: all are told at once, by their paths', async () => {
    const wrong = { transport: { service: 'a b', namespace: 'x:y', requestTimeoutMs: -1, codec: 'xml', maxDepth: 0, requests: { ack: 'manual' }, serializer: {}, colour: 'red' } };
    const error = await listen(wrong);
    expect(error).toMatchObject({ code: 'INVALID_OPTIONS' });
    for (const path of ['service', 'namespace', 'requestTimeoutMs', 'codec', 'maxDepth', 'requests', 'serializer', 'colour']) expect((error as Error).message).toContain(`transport.${path}`);
    expect(() => new RedisStreamsClient(wrong as never)).toThrow(/transport\.codec/);
  });

  it('event handlers without the name of a service, a pattern that is too long, a regular expression', async () => {
    expect(await listen({ transport: { namespace: net.namespace } })).toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('transport.service') });
    @Controller()
    class Long {
      @MessagePattern('ü'.repeat(80))
      long(): void {}
      @EventPattern<unknown>('y'.repeat(200))
      event(): void {}
    }
    const error = await listen({}, [Long]);
    expect(error).toMatchObject({ code: 'INVALID_OPTIONS' });
    expect((error as Error).message.match(/too long/g)).toHaveLength(2);
    @Controller()
    class Wild {
      @EventPattern<unknown>(/any.*/)
      wild(): void {}
    }
    expect(await listen({}, [Wild])).toMatchObject({ message: expect.stringContaining('regular expression') });
  });

  it('msgpack is there, a serializer must be able to serialize: the client says so when it is made', () => {
    expect(() => new RedisStreamsClient({ ...net.options(), transport: { serializer: {} as never } })).toThrow(/serializer[^]*serialize/);
  });
});
