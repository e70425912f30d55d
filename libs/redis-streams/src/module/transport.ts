import type { FactoryProvider } from '@nestjs/common';
import { RedisStreamsEngine } from '../engine.js';
import type { RedisStreamsOptions } from '../options.js';
import type { TransportOptions } from '../options-transport.js';
import { RedisStreamsClient } from '../transport/client.js';
import { RedisStreamsServer } from '../transport/server.js';
import { getStreamsClientToken, REDIS_STREAMS_OPTIONS } from './tokens.js';

/** A client for `registerClient`. */
export interface ProvidedClient {
  /** For `@InjectStreamsClient(name)`. Default: the one without a name. */
  readonly name?: string;
  /** In place of what the option `transport` of the module says. */
  readonly transport?: TransportOptions;
}

/** Strategy of the application's own engine: `app.connectMicroservice({ strategy: app.get(RedisStreamsServer) })`. */
export const serverProvider: FactoryProvider<RedisStreamsServer> = {
  provide: RedisStreamsServer,
  useFactory: (engine: RedisStreamsEngine, { transport = {} }: RedisStreamsOptions) => new RedisStreamsServer({ engine, transport }),
  inject: [RedisStreamsEngine, REDIS_STREAMS_OPTIONS],
};

export function clientProvider({ name, transport }: ProvidedClient): FactoryProvider<RedisStreamsClient> {
  return {
    provide: getStreamsClientToken(name),
    useFactory: (engine: RedisStreamsEngine, options: RedisStreamsOptions) => new RedisStreamsClient({ engine, transport: { ...options.transport, ...transport } }),
    inject: [RedisStreamsEngine, REDIS_STREAMS_OPTIONS],
  };
}
