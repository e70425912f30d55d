import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { RedisStreamsEngine } from '../engine.js';
import { RedisStreamsEvents } from '../observability/events.js';
import type { RedisStreamsOptions, StreamRegistration } from '../options.js';
import { RedisStreamsServer } from '../transport/server.js';
import { EventLogger } from './event-logger.js';
import { HandlerBinder } from './binder.js';
import { DeadLetterService } from './dead-letter.service.js';
import { HandlerExplorer } from './explorer.js';
import { FanoutService } from './fanout.service.js';
import { RedisStreamsHealth } from './health.js';
import { LeaseService } from './lease.service.js';
import { IMPORTED, RedisStreamsLifecycle } from './lifecycle.js';
import { ConfigurableRedisStreamsModule, madeBy, type RedisStreamsModuleAsyncOptions, type RedisStreamsModuleOptions } from './module-definition.js';
import { PartitionService } from './partition.service.js';
import { QueueService } from './queue.service.js';
import { type ProducedQueue, type ProvidedQueue, queueProducedOnly, queueRegistered, queueRegisteredAsync, type QueueRegistrationAsync } from './queues.js';
import { HandlerRegistrar } from './registrar.js';
import { type OneOrMany, producedOnly, type ProducedStream, producerModule, registered, registeredAsync, type StreamRegistrationAsync } from './streams.js';
import { type ProvidedClient, clientProviders, serverProvider } from './transport.js';
import { DEFAULT_CONNECTION, getDeadLettersToken, getFanoutToken, getLeasesToken, getPartitionsToken, getQueuesToken, REDIS_STREAMS_OPTIONS } from './tokens.js';

const CORE: Provider[] = [
  {
    provide: RedisStreamsEngine,
    useFactory: (options: RedisStreamsOptions) => new RedisStreamsEngine(madeBy('RedisStreamsModule.forRootAsync', options)),
    inject: [REDIS_STREAMS_OPTIONS],
  },
  { provide: RedisStreamsEvents, useFactory: (engine: RedisStreamsEngine) => engine.events, inject: [RedisStreamsEngine] },
  ...services(DEFAULT_CONNECTION),
  { provide: LeaseService, useExisting: getLeasesToken() },
  { provide: PartitionService, useExisting: getPartitionsToken() },
  { provide: FanoutService, useExisting: getFanoutToken() },
  { provide: QueueService, useExisting: getQueuesToken() },
  { provide: DeadLetterService, useExisting: getDeadLettersToken() },
  serverProvider,
  EventLogger, RedisStreamsHealth, HandlerExplorer, HandlerBinder, HandlerRegistrar, RedisStreamsLifecycle, { provide: IMPORTED, useValue: {} },
];

/**
 * Import it once, in the root module: `RedisStreamsModule.forRoot({...})`. That is enough in any kind of Nest
 * application (HTTP, microservice, application context): decorated methods are found and run.
 * Injectable: {@link LeaseService}, `@InjectLeases(name)`, {@link PartitionService}, `@InjectPartitions(name)`,
 * {@link FanoutService}, `@InjectFanout(name)`, {@link QueueService}, `@InjectQueues(name)`, {@link DeadLetterService},
 * `@InjectDeadLetters(name)`, {@link RedisStreamsServer} as strategy of the transport, {@link RedisStreamsEvents}, {@link RedisStreamsEngine}, {@link RedisStreamsHealth}.
 */
@Module({})
export class RedisStreamsModule extends ConfigurableRedisStreamsModule {
  static override forRoot(options: RedisStreamsModuleOptions = {}): DynamicModule {
    return withProviders(super.forRoot(options), Object.keys(options.connections ?? {}));
  }

  static override forRootAsync({ connections = [], ...options }: RedisStreamsModuleAsyncOptions): DynamicModule {
    return withProviders(super.forRootAsync(options), connections);
  }

  /**
   * Registers partitioned streams, in the root or in the module that owns them, and provides their producers for
   * `@InjectStream(name)` there and where that module is imported. The registration is stored when the application
   * starts: one that differs from what is stored under that name ends the start with a StreamMismatchError. Saying it
   * again with the same content, in this application or another, changes nothing. Needs `forRoot` to be global (it is by
   * default). @throws InvalidOptionsError from the creation of the application
   */
  static registerStream(streams: OneOrMany<StreamRegistration>): DynamicModule {
    return producerModule(RedisStreamsModule, many(streams).map(registered));
  }

  /** As {@link registerStream}, with the number of partitions, the retention and so on from a factory. */
  static registerStreamAsync(streams: OneOrMany<StreamRegistrationAsync>): DynamicModule {
    return producerModule(RedisStreamsModule, many(streams).map(registeredAsync), many(streams).flatMap(({ imports = [] }) => imports));
  }

  /**
   * For an application or module that only sends: provides the producers of streams that are registered elsewhere. The
   * stream is looked up at the first message, which waits up to `partition.registrationWaitMs` for its registration and
   * is refused with a StreamNotRegisteredError after that.
   */
  static registerProducer(streams: OneOrMany<string | ProducedStream>): DynamicModule {
    return producerModule(RedisStreamsModule, many(streams).map(producedOnly));
  }

  /**
   * Registers queues, in the root or in the module that owns them, and provides their producers for `@InjectQueue(name)` there
   * and where that module is imported. The registration is stored when the application starts: one that differs from what is
   * stored under that name ends the start with a QueueMismatchError. Saying it again with the same content, in this application
   * or another, changes nothing. Needs `forRoot` to be global (it is by default).
   * @throws InvalidOptionsError from the creation of the application
   */
  static registerQueue(queues: OneOrMany<ProvidedQueue>): DynamicModule {
    return producerModule(RedisStreamsModule, many(queues).map(queueRegistered));
  }

  /** As {@link registerQueue}, with the number of shards and so on from a factory. */
  static registerQueueAsync(queues: OneOrMany<QueueRegistrationAsync>): DynamicModule {
    return producerModule(RedisStreamsModule, many(queues).map(queueRegisteredAsync), many(queues).flatMap(({ imports = [] }) => imports));
  }

  /**
   * For an application or module that only sends: provides the producers of queues that are registered elsewhere. The queue is
   * looked up at the first message, which waits up to `queue.registrationWaitMs` for its registration and is refused with a
   * QueueNotRegisteredError after that.
   */
  static registerQueueProducer(queues: OneOrMany<string | ProducedQueue>): DynamicModule {
    return producerModule(RedisStreamsModule, many(queues).map(queueProducedOnly));
  }

  /**
   * Provides clients of the transport for `@InjectStreamsClient(name)`, there and where that module is imported. They share the
   * engine of `forRoot`, and its option `transport` but for what is given here. Needs `forRoot` to be global (it is by default).
   * @throws InvalidOptionsError from the creation of the application
   */
  static registerClient(clients: OneOrMany<ProvidedClient> = {}): DynamicModule {
    return producerModule(RedisStreamsModule, clientProviders(many(clients)));
  }
}

function withProviders(definition: DynamicModule, connections: readonly string[]): DynamicModule {
  const named = connections.filter((name) => name !== DEFAULT_CONNECTION);
  return {
    ...definition,
    providers: [...(definition.providers ?? []), ...CORE, ...named.flatMap(services)],
    exports: [
      REDIS_STREAMS_OPTIONS, RedisStreamsEngine, RedisStreamsEvents, RedisStreamsHealth, RedisStreamsServer, LeaseService, PartitionService, FanoutService, QueueService, DeadLetterService,
      ...[DEFAULT_CONNECTION, ...named].flatMap((name) => [getLeasesToken(name), getPartitionsToken(name), getFanoutToken(name), getQueuesToken(name), getDeadLettersToken(name)]),
    ],
  };
}

/** The services of one connection. */
function services(connection: string): Provider[] {
  return [
    {
      provide: getLeasesToken(connection),
      useFactory: (engine: RedisStreamsEngine) => new LeaseService(engine.leases(connection)),
      inject: [RedisStreamsEngine],
    },
    {
      provide: getPartitionsToken(connection),
      useFactory: (engine: RedisStreamsEngine) => new PartitionService(engine.partitions(connection)),
      inject: [RedisStreamsEngine],
    },
    {
      provide: getFanoutToken(connection),
      useFactory: (engine: RedisStreamsEngine) => new FanoutService(engine.fanout(connection)),
      inject: [RedisStreamsEngine],
    },
    {
      provide: getQueuesToken(connection),
      useFactory: (engine: RedisStreamsEngine) => new QueueService(engine.queues(connection)),
      inject: [RedisStreamsEngine],
    },
    {
      provide: getDeadLettersToken(connection),
      useFactory: (engine: RedisStreamsEngine) => new DeadLetterService(engine.deadLetters(connection)),
      inject: [RedisStreamsEngine],
    },
  ];
}

function many<T>(one: OneOrMany<T>): readonly T[] {
  return Array.isArray(one) ? (one as readonly T[]) : [one as T];
}
