import { Inject } from '@nestjs/common';

/** Name of the connection given as `connection`, when none is named. */
export const DEFAULT_CONNECTION = 'default';

/** Injection token of the options given to `forRoot` or made by `forRootAsync`. */
export const REDIS_STREAMS_OPTIONS = Symbol('REDIS_STREAMS_OPTIONS');

/** Where a partitioned stream or a queue is, when its name alone does not tell: as its registration says it. */
export interface StreamPlace {
  readonly namespace?: string;
  /** Name of the connection; default: the one given as `connection`. */
  readonly connection?: string;
}

/** Injection token of the {@link LeaseService} of a named connection; without a name, of the default one. */
export function getLeasesToken(connection: string = DEFAULT_CONNECTION): string {
  return `RedisStreamsLeases:${connection}`;
}

/** Injects the {@link LeaseService} of a named connection; without a name, of the default one. */
export function InjectLeases(connection?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getLeasesToken(connection));
}

/** Injection token of the {@link PartitionService} of a named connection; without a name, of the default one. */
export function getPartitionsToken(connection: string = DEFAULT_CONNECTION): string {
  return `RedisStreamsPartitions:${connection}`;
}

/** Injects the {@link PartitionService} of a named connection; without a name, of the default one. */
export function InjectPartitions(connection?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getPartitionsToken(connection));
}

/** Injection token of the {@link FanoutService} of a named connection; without a name, of the default one. */
export function getFanoutToken(connection: string = DEFAULT_CONNECTION): string {
  return `RedisStreamsFanout:${connection}`;
}

/** Injects the {@link FanoutService} of a named connection; without a name, of the default one. */
export function InjectFanout(connection?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getFanoutToken(connection));
}

/** Injection token of the {@link QueueService} of a named connection; without a name, of the default one. */
export function getQueuesToken(connection: string = DEFAULT_CONNECTION): string {
  return `RedisStreamsQueues:${connection}`;
}

/** Injects the {@link QueueService} of a named connection; without a name, of the default one. */
export function InjectQueues(connection?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getQueuesToken(connection));
}

/** Injection token of the {@link DeadLetterService} of a named connection; without a name, of the default one. */
export function getDeadLettersToken(connection: string = DEFAULT_CONNECTION): string {
  return `RedisStreamsDeadLetters:${connection}`;
}

/** Injects the {@link DeadLetterService} of a named connection; without a name, of the default one. */
export function InjectDeadLetters(connection?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getDeadLettersToken(connection));
}

/**
 * Injection token of a stream's {@link PartitionProducer}, provided by `registerStream` and `registerProducer`.
 * @param place the namespace, or namespace and connection, if these were given there
 */
export function getStreamToken(name: string, place: string | StreamPlace = {}): string {
  return `RedisStreamsStream:${placeText(name, place)}`;
}

/**
 * Injects the {@link PartitionProducer} of a stream that `registerStream` or `registerProducer` has named.
 * @param place the namespace, or namespace and connection, if these were given there
 */
export function InjectStream(name: string, place?: string | StreamPlace): PropertyDecorator & ParameterDecorator {
  return Inject(getStreamToken(name, place));
}

/**
 * Injection token of a queue's {@link QueueProducer}, provided by `registerQueue` and `registerQueueProducer`.
 * @param place the namespace, or namespace and connection, if these were given there
 */
export function getQueueToken(name: string, place: string | StreamPlace = {}): string {
  return `RedisStreamsQueue:${placeText(name, place)}`;
}

/**
 * Injects the {@link QueueProducer} of a queue that `registerQueue` or `registerQueueProducer` has named.
 * @param place the namespace, or namespace and connection, if these were given there
 */
export function InjectQueue(name: string, place?: string | StreamPlace): PropertyDecorator & ParameterDecorator {
  return Inject(getQueueToken(name, place));
}

function placeText(name: string, place: string | StreamPlace): string {
  const { namespace, connection = DEFAULT_CONNECTION } = typeof place === 'string' ? { namespace: place } : place;
  return `${connection}/${namespace === undefined ? '' : `${namespace}:`}${name}`;
}

/** Injection token of a {@link RedisStreamsClient} that `registerClient` has made; without a name, of the one without. */
export function getStreamsClientToken(name: string = DEFAULT_CONNECTION): string {
  return `RedisStreamsClient:${name}`;
}

/** Injects the {@link RedisStreamsClient} that `registerClient` has made under this name; without a name, the one without. */
export function InjectStreamsClient(name?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getStreamsClientToken(name));
}
