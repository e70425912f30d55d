import { ClientProxyFactory, Transport, type ClientProxy, type MicroserviceOptions } from '@nestjs/microservices';
import { RedisStreamsClient, RedisStreamsServer } from '../engine.js';
import type { WorkerOptions } from '../support/worker.js';

/** Of this package, and Nest's own. */
export type Kind = 'streams' | 'redis' | 'tcp';

export const SERVICE = 'bench';
export const EVENT = 'paid';
export const REQUEST = 'pay';

const HOST = '127.0.0.1';

export function kindOf({ kind }: WorkerOptions): Kind {
  if (kind === 'streams' || kind === 'redis' || kind === 'tcp') return kind;
  throw new Error(`no transport "${kind}"`);
}

/** All as they are without any options but where to find each other. */
export function serverOptions(kind: Kind, url: string, tcpPort: number): MicroserviceOptions {
  switch (kind) {
    case 'streams':
      return { strategy: new RedisStreamsServer({ connection: { url }, transport: { service: SERVICE } }) };
    case 'redis':
      return { transport: Transport.REDIS, options: { host: HOST, port: portOf(url) } };
    case 'tcp':
      return { transport: Transport.TCP, options: { host: HOST, port: tcpPort } };
  }
}

export function clientOf(kind: Kind, url: string, tcpPort: number): ClientProxy {
  switch (kind) {
    case 'streams':
      return new RedisStreamsClient({ connection: { url } });
    case 'redis':
      return ClientProxyFactory.create({ transport: Transport.REDIS, options: { host: HOST, port: portOf(url) } });
    case 'tcp':
      return ClientProxyFactory.create({ transport: Transport.TCP, options: { host: HOST, port: tcpPort } });
  }
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}
