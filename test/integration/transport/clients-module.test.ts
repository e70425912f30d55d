import { Controller, Inject, Module, type OnModuleInit, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientsModule, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { RedisStreamsClient, type RedisStreamsClientOptions } from 'nestjs-redis-streams/transport';
import { NEVER, retry, type Subscription } from 'rxjs';
import { beforeEach, expect, it } from 'vitest';
import { startProxy, type TcpProxy } from '../../support/tcp-proxy.js';
import { ask, failureOf, Net, QUIET, waitUntil } from './support/net.js';

const net = new Net();
let ran: unknown[] = [];
let calls: string[] = [];
beforeEach(() => {
  ran = [];
  calls = [];
});

@Controller()
class Handlers {
  @MessagePattern('echo')
  echo(@Payload() data: unknown): unknown {
    return data;
  }
  @MessagePattern('endless')
  endless(@Payload() n: unknown): unknown {
    ran.push(n);
    return NEVER;
  }
  @EventPattern<unknown>('happened')
  happened(@Payload() data: unknown): void {
    ran.push(data);
  }
}

/** A module whose client is made with it: each application of it has the same one. */
function moduleWith(proxy: TcpProxy, customClass: Type<RedisStreamsClient> = RedisStreamsClient): { App: Type; clientOf: (app: { get(token: string): unknown }) => RedisStreamsClient } {
  const { connection, session, onError, transport } = net.options({ url: proxy.url }) as RedisStreamsClientOptions;
  @Module({ imports: [ClientsModule.register([{ name: 'ORDERS', customClass, options: { connection, session, onError, transport } }])] })
  class App {
    constructor(@Inject('ORDERS') readonly client: RedisStreamsClient) {}
  }
  return { App, clientOf: (app) => app.get('ORDERS') as RedisStreamsClient };
}
const proxied = async (): Promise<TcpProxy> => net.onEnd(await startProxy(net.redis.port), (made) => made.stop());
const closed = (proxy: TcpProxy): Promise<unknown> => waitUntil(() => proxy.stats.open === 0, { what: 'no connection is left' });

it('a client ends with its application: what is tried or sent again is refused, and opens nothing', async () => {
  await net.serve([Handlers]);
  const proxy = await proxied();
  const { App, clientOf } = moduleWith(proxy);
  const app = await NestFactory.createApplicationContext(App, QUIET);
  const client = clientOf(app);
  const told: unknown[] = [];
  const asking: Subscription = client.send('endless', 1).pipe(retry(2)).subscribe({ error: (error: unknown) => told.push(error) });
  await waitUntil(() => ran.length === 1, { what: 'it runs' });
  await app.close();
  await app.close(); // as a signal's behind one's own
  await waitUntil(() => told.length === 1, { what: 'it was tried in vain' });
  expect(told).toMatchObject([{ code: 'CLOSED', message: expect.stringContaining('application has ended') }]);
  for (const late of [ask(client, 'echo', 1), client.emitAsync('happened', 1), client.connect()]) expect(await failureOf(late)).toMatchObject({ code: 'CLOSED' });
  await closed(proxy);
  expect([ran, await net.replyStreams()]).toEqual([[1], []]);
  asking.unsubscribe();
});

it('it serves the next application of its module, and two at a time', async () => {
  await net.serve([Handlers]);
  const proxy = await proxied();
  const { App, clientOf } = moduleWith(proxy);
  const start = () => NestFactory.createApplicationContext(App, QUIET);
  const apps = [await start(), await start()];
  const client = clientOf(apps[0]!);
  expect(clientOf(apps[1]!)).toBe(client);
  await apps[0]!.close();
  expect(await ask(client, 'echo', 'while the other is there')).toBe('while the other is there');
  await apps[1]!.close();
  expect(await failureOf(ask(client, 'echo', 1))).toMatchObject({ code: 'CLOSED' });
  // What its providers send as they are made may come before the application begins.
  const early = ask(client, 'echo', 'early');
  const next = await start();
  expect(await early).toBe('early');
  expect(await ask(clientOf(next), 'echo', 'next')).toBe('next');
  await next.close();
  await closed(proxy);
});

it('a close of its user\'s is for a while, in an application and after its own ones that never began', async () => {
  await net.serve([Handlers]);
  const proxy = await proxied();
  const { App, clientOf } = moduleWith(proxy);
  const app = await NestFactory.createApplicationContext(App, QUIET);
  const client = clientOf(app);
  expect(await ask(client, 'echo', 1)).toBe(1);
  await client.close();
  await closed(proxy);
  expect(await ask(client, 'echo', 2)).toBe(2);
  await app.close();
  const unbegun = moduleWith(proxy);
  const microservice = await NestFactory.create(unbegun.App, QUIET);
  expect(await ask(clientOf(microservice), 'echo', 3)).toBe(3);
  await microservice.close();
  expect(await ask(unbegun.clientOf(microservice), 'echo', 4)).toBe(4);
  await unbegun.clientOf(microservice).close();
  await closed(proxy);
});

it('subclasses keep their own close and hooks', async () => {
  await net.serve([Handlers]);
  class Own extends RedisStreamsClient implements OnModuleInit {
    onModuleInit(): void {
      calls.push('init');
    }
    override close(): Promise<void> {
      calls.push('close');
      return super.close();
    }
  }
  class Hooked extends RedisStreamsClient {
    onApplicationShutdown(signal?: string): Promise<void> {
      calls.push(`shutdown ${signal}`);
      return this.close();
    }
  }
  const proxy = await proxied();
  const { App, clientOf } = moduleWith(proxy, Own);
  const app = await NestFactory.createApplicationContext(App, QUIET);
  expect(await ask(clientOf(app), 'echo', 1)).toBe(1);
  await app.close();
  expect(calls).toEqual(['init', 'close']);
  expect(await failureOf(ask(clientOf(app), 'echo', 1))).toMatchObject({ code: 'CLOSED' });
  // As a provider of one's own.
  const hooked = new Hooked(net.options({ url: proxy.url }));
  @Module({ providers: [{ provide: 'HOOKED', useValue: hooked }] })
  class Other {}
  const other = await NestFactory.createApplicationContext(Other, QUIET);
  expect(await ask(hooked, 'echo', 1)).toBe(1);
  await other.close();
  expect(calls.slice(2)).toEqual(['shutdown undefined']);
  await closed(proxy);
  expect(Object.keys(hooked)).not.toContain('onApplicationShutdown');
});
