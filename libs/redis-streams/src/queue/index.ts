/** The queue capability without Nest: `import { RedisStreamsEngine } from 'nestjs-redis-streams/queue'`. */
export { RedisStreamsEngine } from '../engine.js';
export { QueueClient, type QueueRef } from './client.js';
export type { QueueConsumer } from './consumer.js';
export type { QueueContext, QueueHandlers, QueueStats } from './handler-types.js';
export type { QueueProducer } from './producer.js';
export type { ClosedQueueProducer, Headers, OutgoingQueueMessage, QueueSendOptions, SentQueueMessage } from './types.js';
export { RedisStreamsEvents } from '../observability/events.js';
export type { RedisStreamsEvent, RedisStreamsEventMap, RedisStreamsEventName } from '../observability/events.js';
export type {
  BackoffOptions, ConnectionOptions, ErrorContext, QueueConsumerOptions, QueueDefaults, QueueProducerOptions, QueueRegistration, QueueTuning, RedisStreamsOptions,
  RetryOptions, SessionOptions,
} from '../options.js';
export {
  BackpressureError, ClosedError, CommandTimeoutError, ConnectionError, ConsumerNameInUseError, FencedError, HandlerTimeoutError, InvalidOptionsError,
  MessageLostError, QueueMismatchError, QueueNotRegisteredError, RedisStreamsError, ReplicationError,
} from '../errors/index.js';
export type { ErrorCode, MessageLossReason, OptionProblem } from '../errors/index.js';
