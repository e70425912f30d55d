/** The fanout capability without Nest: `import { RedisStreamsEngine } from 'nestjs-redis-streams/fanout'`. */
export { RedisStreamsEngine } from '../engine.js';
export { FanoutClient } from './client.js';
export type {
  AckedRoomMessage, EjectedSubscriber, FanoutMetrics, JoinedRoom, PeekedMessage, RoomContext, RoomHandler, RoomHandlers, RoomHeaders, RoomHooks,
  RoomMember, RoomMessage, RoomSendOptions, RoomState, RoomSubscription, SentRoomMessage,
} from './types.js';
export { RedisStreamsEvents } from '../observability/events.js';
export type { RedisStreamsEvent, RedisStreamsEventMap, RedisStreamsEventName } from '../observability/events.js';
export type { BackoffOptions, ConnectionOptions, ErrorContext, FanoutOptions, RedisStreamsOptions, RetryOptions, RoomHandlerOptions, RoomTuning, SessionOptions } from '../options.js';
export {
  AckTimeoutError, BackpressureError, ClosedError, CommandTimeoutError, ConnectionError, ConsumerNameInUseError, FanoutMismatchError, InvalidOptionsError,
  RedisStreamsError, RoomEjectedError,
} from '../errors/index.js';
export type { EjectReason, ErrorCode, OptionProblem } from '../errors/index.js';
