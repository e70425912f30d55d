export { RedisStreamsModule } from './module/redis-streams.module.js';
export type { RedisStreamsModuleAsyncOptions, RedisStreamsModuleOptions, RedisStreamsOptionsFactory } from './module/module-definition.js';
export { OnStreamAssigned, OnStreamDisowned, OnStreamExpired, OnStreamTerminated } from './module/decorators/on-stream.js';
export type { LeaseHookTarget } from './module/decorators/handler-metadata.js';
export { getLeasesToken, InjectLeases, REDIS_STREAMS_OPTIONS } from './module/tokens.js';
export { LeaseService } from './module/lease.service.js';
export { LeaseRequest } from './module/handler-request.js';
export { RedisStreamsHealth, type RedisStreamsHealthResult } from './module/health.js';

export { RedisStreamsEngine } from './engine.js';
export { LeaseClient } from './lease/client.js';
export type { LeaseConsumer } from './lease/consumer.js';
export type { DeadLetter, DeadLetterQuery, LeaseQuery } from './lease/listing.js';
export type {
  Announcement, AnnounceOptions, AnnounceResult, AnnounceStatus, DisownedStream, EntriesOptions, ExpiredStream, LeaseHandlers, LeaseMember,
  LeaseState, LeaseStats, LeaseView, StreamEntry, StreamInfo, StreamLease, TerminatedConsumer,
} from './lease/types.js';
export { RedisStreamsEvents } from './observability/events.js';
export type { RedisStreamsEvent, RedisStreamsEventMap, RedisStreamsEventName } from './observability/events.js';
export type {
  BackoffOptions, ConnectionOptions, ErrorContext, LeaseConsumerOptions, LeaseTuning, RedisStreamsOptions, SessionOptions,
} from './options.js';
export {
  AlreadyClaimedError, BackpressureError, ClosedError, CommandTimeoutError, ConnectionError, ConsumerNameInUseError, FencedError,
  InvalidOptionsError, LeaseAbortedError, RedisStreamsError,
} from './errors/index.js';
export type { AbortReason, ErrorCode, OptionProblem } from './errors/index.js';
