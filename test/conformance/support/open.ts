import type { INestMicroservice, Type } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, type ClientOptions, type ClientProxy, type MicroserviceOptions, Transport as NestTransport } from '@nestjs/microservices';
import { RedisStreamsClient, RedisStreamsServer, type RedisStreamsOptions, type TransportOptions } from 'nestjs-redis-streams';
import type { Address, ClientSettings, ServerSettings } from './transport.js';

/** Nest's clients and servers make a lost connection again after so long, as they are told here: without being told they never do. */
const RETRY = { retryAttempts: 1_000, retryDelay: 100 };

/** Short, so that what depends on a deadline is soon seen. */
function streamsOptions({ port, namespace }: Address, more: TransportOptions): RedisStreamsOptions {
  return {
    connection: { url: `redis://127.0.0.1:${port}` },
    // Not shorter: a process that waits for a core would lose its session, and run again what it had run.
    session: { ttlMs: 3_000 },
    commandTimeoutMs: 1_000,
    startTimeoutMs: 1_000,
    shutdown: { drainMs: 1_500 },
    transport: { namespace, ...more, handlerWaitMs: 300, events: { retry: { maxAttempts: 3, initialMs: 10, jitter: 0 } } },
  };
}

function serverOptions(address: Address, { service = 'service', wildcards = false }: ServerSettings): MicroserviceOptions {
  const { port } = address;
  switch (address.name) {
    case 'streams': return { strategy: new RedisStreamsServer(streamsOptions(address, { service })) };
    case 'redis': return { transport: NestTransport.REDIS, options: { host: '127.0.0.1', port, wildcards, ...RETRY } };
    case 'tcp': return { transport: NestTransport.TCP, options: { host: '127.0.0.1', port, ...RETRY } };
  }
}

/** An application that listens. */
export async function openServer(address: Address, controllers: readonly Type[], settings: ServerSettings = {}): Promise<INestMicroservice> {
  @Module({ controllers: [...controllers], providers: [...(settings.providers ?? [])] })
  class App {}
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(App, { ...serverOptions(address, settings), logger: false, abortOnError: false });
  settings.configure?.(app);
  await app.listen();
  if (address.name === 'redis') await subscribed(app);
  return app;
}

/** Nest's Redis server calls itself listening before the server has answered its SUBSCRIBEs: this comes behind them. */
async function subscribed(app: INestMicroservice): Promise<void> {
  const [, subscriber] = app.unwrap<[unknown, { ping(): Promise<unknown> }]>();
  await subscriber.ping();
}

export function openClient(address: Address, settings: ClientSettings = {}): ClientProxy {
  const { port } = address;
  const options: Record<Address['name'], () => ClientOptions> = {
    streams: () => ({ customClass: RedisStreamsClient, options: streamsOptions(address, settings) as Record<string, unknown> }),
    redis: () => ({ transport: NestTransport.REDIS, options: { host: '127.0.0.1', port, ...RETRY } }),
    tcp: () => ({ transport: NestTransport.TCP, options: { host: '127.0.0.1', port } }),
  };
  return ClientProxyFactory.create(options[address.name]()) as ClientProxy;
}
