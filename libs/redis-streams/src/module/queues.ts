import type { FactoryProvider, InjectionToken, ModuleMetadata, OptionalFactoryDependency } from '@nestjs/common';
import { RedisStreamsEngine } from '../engine.js';
import type { QueueProducerOptions, QueueRegistration } from '../options.js';
import type { QueueProducer } from '../queue/producer.js';
import { madeBy } from './module-definition.js';
import { getQueueToken, type StreamPlace } from './tokens.js';

/** A queue by name, for `registerQueueProducer`. */
export interface ProducedQueue extends StreamPlace {
  readonly name: string;
  /** Of the producer that is provided. Default: the option `queue.producer`. */
  readonly producer?: QueueProducerOptions;
}

/** A queue for `registerQueue`: what Redis is to keep about it, and the producer that is provided. */
export interface ProvidedQueue extends QueueRegistration, Pick<ProducedQueue, 'producer'> {}

/** What a factory adds to the name of a queue. */
export type QueueSettings = Omit<ProvidedQueue, 'name' | 'namespace' | 'connection'>;

/** Name, namespace and connection stand outside of the factory, since the injection token must exist before it has run. */
export interface QueueRegistrationAsync extends StreamPlace, Pick<ModuleMetadata, 'imports'> {
  readonly name: string;
  readonly inject?: Array<InjectionToken | OptionalFactoryDependency>;
  // As Nest has it: what is injected has types of its own, which `never` accepts.
  readonly useFactory: (...args: never[]) => QueueSettings | Promise<QueueSettings>;
}

type Prepare = (engine: RedisStreamsEngine, ...args: unknown[]) => QueueProducerOptions | undefined | Promise<QueueProducerOptions | undefined>;

/** The engine is told as the application is put together, and tells Redis when it starts. */
export function queueRegistered({ producer, ...registration }: ProvidedQueue): FactoryProvider<QueueProducer> {
  return producing(registration, (engine) => {
    engine.registerQueue(registration);
    return producer;
  });
}

export function queueRegisteredAsync({ name, namespace, connection, inject, useFactory }: QueueRegistrationAsync): FactoryProvider<QueueProducer> {
  const settings = useFactory as (...args: unknown[]) => QueueSettings | Promise<QueueSettings>;
  const place = { name, namespace, connection };
  return producing(place, async (engine, ...args) => {
    const { producer, ...rest } = madeBy(`registerQueueAsync of "${name}"`, await settings(...args));
    engine.registerQueue({ ...rest, ...place });
    return producer;
  }, inject);
}

/** Registered elsewhere, in this application or another. */
export function queueProducedOnly(queue: string | ProducedQueue): FactoryProvider<QueueProducer> {
  const { producer, ...place } = typeof queue === 'string' ? { name: queue, producer: undefined } : queue;
  return producing(place, () => producer);
}

function producing({ name, namespace, connection }: ProducedQueue, prepare: Prepare, inject: QueueRegistrationAsync['inject'] = []): FactoryProvider<QueueProducer> {
  return {
    provide: getQueueToken(name, { namespace, connection }),
    useFactory: async (engine: RedisStreamsEngine, ...args: unknown[]) => {
      const options = await prepare(engine, ...args);
      return engine.queues(connection).queue({ queue: name, namespace }, options);
    },
    inject: [RedisStreamsEngine, ...inject],
  };
}
