import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { RedisStreamsEngine } from '../engine.js';
import { RedisStreamsEvents } from '../observability/events.js';
import type { RedisStreamsOptions } from '../options.js';
import { EventLogger } from './event-logger.js';
import { LeaseHandlerBinder } from './binder.js';
import { LeaseHandlerExplorer } from './explorer.js';
import { RedisStreamsHealth } from './health.js';
import { LeaseService } from './lease.service.js';
import { RedisStreamsLifecycle } from './lifecycle.js';
import { ConfigurableRedisStreamsModule, type RedisStreamsModuleAsyncOptions, type RedisStreamsModuleOptions } from './module-definition.js';
import { LeaseHandlerRegistrar } from './registrar.js';
import { DEFAULT_CONNECTION, getLeasesToken, REDIS_STREAMS_OPTIONS } from './tokens.js';

const CORE: Provider[] = [
  {
    provide: RedisStreamsEngine,
    useFactory: (options: RedisStreamsOptions) => new RedisStreamsEngine(options),
    inject: [REDIS_STREAMS_OPTIONS],
  },
  { provide: RedisStreamsEvents, useFactory: (engine: RedisStreamsEngine) => engine.events, inject: [RedisStreamsEngine] },
  leases(),
  { provide: LeaseService, useExisting: getLeasesToken() },
  EventLogger, RedisStreamsHealth, LeaseHandlerExplorer, LeaseHandlerBinder, LeaseHandlerRegistrar, RedisStreamsLifecycle,
];

/**
 * Import it once, in the root module: `RedisStreamsModule.forRoot({...})`. That is enough in any kind of Nest
 * application (HTTP, microservice, application context): decorated methods are found and run.
 * Injectable: {@link LeaseService}, `@InjectLeases(name)`, {@link RedisStreamsEvents}, {@link RedisStreamsEngine},
 * {@link RedisStreamsHealth}.
 */
@Module({})
export class RedisStreamsModule extends ConfigurableRedisStreamsModule {
  static override forRoot(options: RedisStreamsModuleOptions = {}): DynamicModule {
    return withProviders(super.forRoot(options), Object.keys(options.connections ?? {}));
  }

  static override forRootAsync({ connections = [], ...options }: RedisStreamsModuleAsyncOptions): DynamicModule {
    return withProviders(super.forRootAsync(options), connections);
  }
}

function withProviders(definition: DynamicModule, connections: readonly string[]): DynamicModule {
  const named = connections.filter((name) => name !== DEFAULT_CONNECTION);
  return {
    ...definition,
    providers: [...(definition.providers ?? []), ...CORE, ...named.map(leases)],
    exports: [
      RedisStreamsEngine, RedisStreamsEvents, RedisStreamsHealth, LeaseService,
      getLeasesToken(), ...named.map(getLeasesToken),
    ],
  };
}

function leases(connection?: string): Provider {
  return {
    provide: getLeasesToken(connection),
    useFactory: (engine: RedisStreamsEngine) => new LeaseService(engine.leases(connection)),
    inject: [RedisStreamsEngine],
  };
}
