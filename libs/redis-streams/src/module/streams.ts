import type { DynamicModule, FactoryProvider, InjectionToken, ModuleMetadata, OptionalFactoryDependency, Type } from '@nestjs/common';
import { RedisStreamsEngine } from '../engine.js';
import type { StreamRegistration } from '../options.js';
import type { PartitionProducer } from '../partition/producer.js';
import { madeBy } from './module-definition.js';
import { getStreamToken, type StreamPlace } from './tokens.js';

export type OneOrMany<T> = T | readonly T[];

/** A stream by name, for `registerProducer`. */
export interface ProducedStream extends StreamPlace {
  readonly name: string;
}

/** What a factory adds to the name of a stream. */
export type StreamSettings = Omit<StreamRegistration, 'name' | 'namespace' | 'connection'>;

/** Name, namespace and connection stand outside of the factory, since the injection token must exist before it has run. */
export interface StreamRegistrationAsync extends ProducedStream, Pick<ModuleMetadata, 'imports'> {
  readonly inject?: Array<InjectionToken | OptionalFactoryDependency>;
  // As Nest has it: what is injected has types of its own, which `never` accepts.
  readonly useFactory: (...args: never[]) => StreamSettings | Promise<StreamSettings>;
}

/** The module that provides these producers. */
export function producerModule(module: Type, producers: readonly FactoryProvider[], imports: ModuleMetadata['imports'] = []): DynamicModule {
  return { module, imports, providers: [...producers], exports: producers.map(({ provide }) => provide) };
}

/** The engine is told as the application is put together, and tells Redis when it starts. */
export function registered(registration: StreamRegistration): FactoryProvider<PartitionProducer> {
  return producing(registration, (engine) => engine.registerStream(registration));
}

export function registeredAsync({ name, namespace, connection, inject, useFactory }: StreamRegistrationAsync): FactoryProvider<PartitionProducer> {
  const settings = useFactory as (...args: unknown[]) => StreamSettings | Promise<StreamSettings>;
  const stream = { name, namespace, connection };
  return producing(stream, async (engine, ...args) => {
    engine.registerStream({ ...madeBy(`registerStreamAsync of "${name}"`, await settings(...args)), ...stream });
  }, inject);
}

/** Registered elsewhere, in this application or another. */
export function producedOnly(stream: string | ProducedStream): FactoryProvider<PartitionProducer> {
  return producing(typeof stream === 'string' ? { name: stream } : stream, () => undefined);
}

function producing(
  { name, namespace, connection }: ProducedStream,
  prepare: (engine: RedisStreamsEngine, ...args: unknown[]) => void | Promise<void>,
  inject: StreamRegistrationAsync['inject'] = [],
): FactoryProvider<PartitionProducer> {
  return {
    provide: getStreamToken(name, { namespace, connection }),
    useFactory: async (engine: RedisStreamsEngine, ...args: unknown[]) => {
      await prepare(engine, ...args);
      return engine.partitions(connection).producer({ stream: name, namespace });
    },
    inject: [RedisStreamsEngine, ...inject],
  };
}
