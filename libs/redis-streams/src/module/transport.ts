import type { FactoryProvider } from '@nestjs/common';
import { RedisStreamsEngine } from '../engine.js';
import { InvalidOptionsError } from '../errors/index.js';
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

/** One each. @throws InvalidOptionsError from the factory of a name that is given twice */
export function clientProviders(clients: readonly ProvidedClient[]): Array<FactoryProvider<RedisStreamsClient>> {
  const tokens = clients.map(({ name }) => getStreamsClientToken(name));
  return clients.map((client, i) => clientProvider(client, tokens.indexOf(tokens[i]!) !== tokens.lastIndexOf(tokens[i]!)));
}

function clientProvider({ name, transport }: ProvidedClient, isDouble: boolean): FactoryProvider<RedisStreamsClient> {
  return {
    provide: getStreamsClientToken(name),
    useFactory: (engine: RedisStreamsEngine, options: RedisStreamsOptions) => {
      if (isDouble) throw new InvalidOptionsError([{ path: name === undefined ? 'client' : `client "${name}"`, message: 'is registered twice: give each client a name of its own' }]);
      return new RedisStreamsClient({ engine, transport: { ...options.transport, ...transport } });
    },
    inject: [RedisStreamsEngine, REDIS_STREAMS_OPTIONS],
  };
}
