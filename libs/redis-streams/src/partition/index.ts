/** The partition capability without Nest: `import { RedisStreamsEngine } from 'nestjs-redis-streams/partition'`. */
export { RedisStreamsEngine } from '../engine.js';
export { PartitionClient, type GroupRef, type StreamRef } from './client.js';
export type { PartitionConsumer } from './consumer.js';
export type { PartitionProducer } from './producer.js';
export type {
  GroupAssignment, GroupMember, Headers, OutgoingMessage, OwnedPartitionRef, PartitionBatchContext, PartitionContext, PartitionDeadLetter,
  PartitionHandlers, PartitionHooks, PartitionLag, PartitionMessage, PartitionOwner, PartitionsEvent, PartitionsLost, PartitionsRevoked,
  Position, SentMessage,
} from './types.js';
export { RedisStreamsEvents } from '../observability/events.js';
export type { RedisStreamsEvent, RedisStreamsEventMap, RedisStreamsEventName } from '../observability/events.js';
export type {
  BackoffOptions, ConnectionOptions, CustomPartitioner, ErrorContext, PartitionConsumerOptions, PartitionDefaults, PartitionTuning,
  RedisStreamsOptions, RetentionOptions, RetryOptions, SessionOptions, StreamRegistration,
} from '../options.js';
export {
  BackpressureError, ClosedError, CommandTimeoutError, ConnectionError, ConsumerNameInUseError, FencedError, HandlerTimeoutError,
  InvalidOptionsError, PartitionFullError, PartitionLostError, PartitionUnusableError, RedisStreamsError, StreamMismatchError, StreamNotRegisteredError,
} from '../errors/index.js';
export type { ErrorCode, OptionProblem, PartitionLossReason } from '../errors/index.js';
