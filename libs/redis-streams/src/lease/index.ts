/** The lease capability without Nest: `import { RedisStreamsEngine } from 'nestjs-redis-streams/lease'`. */
export { RedisStreamsEngine } from '../engine.js';
export { LeaseClient } from './client.js';
export type { LeaseConsumer } from './consumer.js';
export type { LeaseDeadLetter, LeaseDeadLetterQuery, LeaseQuery } from './listing.js';
export type {
  Announcement, AnnounceOptions, AnnounceResult, AnnounceStatus, DisownedStream, EntriesOptions, ExpiredStream, LeaseHandlers, LeaseMember,
  LeaseState, LeaseStats, LeaseView, StreamEntry, StreamInfo, StreamLease, TerminatedConsumer,
} from './types.js';
export { RedisStreamsEvents } from '../observability/events.js';
export type { RedisStreamsEvent, RedisStreamsEventMap, RedisStreamsEventName } from '../observability/events.js';
export type {
  BackoffOptions, ConnectionOptions, ErrorContext, LeaseConsumerOptions, LeaseTuning, RedisStreamsOptions, SessionOptions,
} from '../options.js';
export {
  AlreadyClaimedError, BackpressureError, ClosedError, CommandTimeoutError, ConnectionError, ConsumerNameInUseError, FencedError,
  InvalidOptionsError, LeaseAbortedError, RedisStreamsError,
} from '../errors/index.js';
export type { AbortReason, ErrorCode, OptionProblem } from '../errors/index.js';
