export { RedisStreamsModule } from './module/redis-streams.module.js';
export type { RedisStreamsModuleAsyncOptions, RedisStreamsModuleOptions, RedisStreamsOptionsFactory } from './module/module-definition.js';
export { OnStreamAssigned, OnStreamDisowned, OnStreamExpired, OnStreamTerminated } from './module/decorators/on-stream.js';
export type { LeaseHookTarget } from './module/decorators/on-stream.js';
export { OnPartitionsAssigned, OnPartitionsLost, OnPartitionsRevoked, PartitionHandler } from './module/decorators/partition-handler.js';
export type { PartitionHookTarget } from './module/decorators/partition-handler.js';
export { OnRoomEjected, OnRoomJoined, OnRoomMessage } from './module/decorators/on-room.js';
export type { RoomHookTarget } from './module/decorators/on-room.js';
export { QueueHandler } from './module/decorators/queue-handler.js';
export {
  getDeadLettersToken, getFanoutToken, getLeasesToken, getPartitionsToken, getQueuesToken, getQueueToken, getStreamToken, InjectDeadLetters, InjectFanout,
  getStreamsClientToken, InjectLeases, InjectPartitions, InjectQueue, InjectQueues, InjectStream, InjectStreamsClient, REDIS_STREAMS_OPTIONS, type StreamPlace,
} from './module/tokens.js';
export type { OneOrMany, ProducedStream, StreamRegistrationAsync, StreamSettings } from './module/streams.js';
export type { ProducedQueue, ProvidedQueue, QueueRegistrationAsync, QueueSettings } from './module/queues.js';
export type { ProvidedClient } from './module/transport.js';
export { LeaseService } from './module/lease.service.js';
export { PartitionService } from './module/partition.service.js';
export { FanoutService } from './module/fanout.service.js';
export { QueueService } from './module/queue.service.js';
export { DeadLetterService } from './module/dead-letter.service.js';
export { HandlerRequest } from './module/handler-request.js';
export { RedisStreamsHealth, type RedisStreamsHealthResult } from './module/health.js';

export { RedisStreamsEngine } from './engine.js';
export { LeaseClient } from './lease/client.js';
export type { LeaseConsumer } from './lease/consumer.js';
export type { LeaseDeadLetter, LeaseDeadLetterQuery, LeaseQuery } from './lease/listing.js';
export type {
  Announcement, AnnounceOptions, AnnounceResult, AnnounceStatus, DisownedStream, EntriesOptions, ExpiredStream, LeaseHandlers, LeaseMember,
  LeaseState, LeaseStats, LeaseView, StreamEntry, StreamInfo, StreamLease, TerminatedConsumer,
} from './lease/types.js';
export { PartitionClient, type GroupRef, type StreamRef } from './partition/client.js';
export type { PartitionConsumer } from './partition/consumer.js';
export type { PartitionProducer } from './partition/producer.js';
export type {
  GroupAssignment, GroupMember, Headers, OutgoingMessage, OwnedPartitionRef, PartitionBatchContext, PartitionContext, PartitionDeadLetter,
  PartitionHandlers, PartitionHooks, PartitionLag, PartitionMessage, PartitionOwner, PartitionsEvent, PartitionsLost, PartitionsRevoked,
  Position, SentMessage,
} from './partition/types.js';
export { FanoutClient } from './fanout/client.js';
export type {
  AckedRoomMessage, EjectedSubscriber, FanoutMetrics, JoinedRoom, PeekedMessage, RoomContext, RoomHandler, RoomHandlers, RoomHeaders, RoomHooks,
  RoomMember, RoomMessage, RoomSendOptions, RoomState, RoomSubscription, SentRoomMessage,
} from './fanout/types.js';
export { DeadLetters } from './dead-letters/client.js';
export type {
  DeadLetter, DeadLetterDetails, DeadLetterFilter, DeadLetterKind, DeadLetterPage, DeadLetterQuery, DeadLetterSelection, DeadLetterSource, DeadLetterWork,
  ReplayOptions, ReplayResult, ReplaySkipReason,
} from './dead-letters/types.js';
export { QueueClient, type QueueRef } from './queue/client.js';
export type { QueueConsumer } from './queue/consumer.js';
export type { QueueContext, QueueHandlers, QueueStats } from './queue/handler-types.js';
export type { QueueProducer } from './queue/producer.js';
export type { ClosedQueueProducer, OutgoingQueueMessage, QueueSendOptions, SentQueueMessage } from './queue/types.js';
export { REDIS_STREAMS_TRANSPORT, RedisStreamsServer, type RedisStreamsServerOptions } from './transport/server.js';
export { RedisStreamsClient, type RedisStreamsClientOptions } from './transport/client.js';
export { type Delivery, RedisStreamsContext } from './transport/context.js';
export { RedisStreamsRecord, type RecordOptions } from './transport/record.js';
export { DeadLetterException, DropException, RetryException } from './transport/exceptions.js';
export { streamOptions } from './transport/options.js';
export type { RedisStreamsStatus } from './transport/status.js';
export type { PacketDeserializer, PacketSerializer, PatternOptions, TransportOptions } from './options-transport.js';
export { RedisStreamsEvents } from './observability/events.js';
export type { RedisStreamsEvent, RedisStreamsEventMap, RedisStreamsEventName } from './observability/events.js';
export type {
  BackoffOptions, ConnectionOptions, CustomPartitioner, ErrorContext, FanoutOptions, LeaseConsumerOptions, LeaseTuning, PartitionConsumerOptions,
  PartitionDefaults, PartitionTuning, QueueConsumerOptions, QueueDefaults, QueueProducerOptions, QueueRegistration, QueueTuning, RedisStreamsOptions, RetentionOptions, RetryOptions, RoomHandlerOptions, RoomTuning, SessionOptions, StreamRegistration,
} from './options.js';
export {
  AckTimeoutError, AlreadyClaimedError, BackpressureError, ClosedError, CommandTimeoutError, ConnectionError, ConsumerNameInUseError, FanoutMismatchError,
  FencedError, HandlerTimeoutError,
  InvalidOptionsError, LeaseAbortedError, MessageLostError, PartitionFullError, PartitionLostError, PartitionUnusableError, QueueMismatchError, QueueNotRegisteredError,
  NoHandlerError, PatternMismatchError, RedisStreamsError, ReplicationError, RequestCancelledError, RequestTimeoutError, RoomEjectedError, StreamMismatchError,
  StreamNotRegisteredError,
} from './errors/index.js';
export type { AbortReason, EjectReason, ErrorCode, MessageLossReason, OptionProblem, PartitionLossReason } from './errors/index.js';
