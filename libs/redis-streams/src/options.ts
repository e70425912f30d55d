import type { Cluster, ClusterOptions, Redis, RedisOptions } from 'ioredis';
import type { QueueDefaults } from './options-queue.js';
import type { TransportOptions } from './options-transport.js';

export type { QueueConsumerOptions, QueueDefaults, QueueProducerOptions, QueueRegistration, QueueTuning } from './options-queue.js';

/**
 * How to reach one Redis: a URL, ioredis options, Sentinel, Cluster, or a client of yours (it is duplicated, never used or closed).
 * A `keyPrefix` is refused. A retry strategy chooses the delays but cannot give up; the offline queue is always on.
 */
export type ConnectionOptions =
  | { readonly url: string; readonly options?: RedisOptions }
  | (RedisOptions & { readonly url?: undefined; readonly cluster?: undefined; readonly client?: undefined })
  | { readonly cluster: { readonly nodes: ReadonlyArray<string | { host: string; port: number }>; readonly options?: ClusterOptions } }
  | { readonly client: Redis | Cluster };

export interface SessionOptions {
  /** A process silent for this long is dead and its work goes to others. Default 10,000 ms; at least 200. */
  readonly ttlMs?: number;
  /** Interval between heartbeats. Default a third of `ttlMs`; at most half of it. */
  readonly heartbeatMs?: number;
  /** A process stops trusting its own session this long before the server does. Default 5 % of `ttlMs`, at least 10 ms. */
  readonly marginMs?: number;
}

export interface BackoffOptions {
  /** Delay before the second attempt. Default 1,000 ms. */
  readonly initialMs?: number;
  /** Growth per failure. Default 2. */
  readonly factor?: number;
  /** Upper bound of the delay. Default 60,000 ms. */
  readonly maxMs?: number;
  /** Random part of the delay, 0..1. Default 0.5: between half of the delay and all of it. */
  readonly jitter?: number;
}

/** What a lease consumer may set; `RedisStreamsOptions.lease` holds the defaults for all of them. */
export interface LeaseTuning {
  /** Streams this process owns at most at once. At the bound it stops reading. Default 10,000. */
  readonly maxLeases?: number;
  /** `auto` (default): streams of dead owners are taken over. `manual`: `@OnStreamExpired` is raised, and the first claim wins. */
  readonly claim?: 'auto' | 'manual';
  /** `auto` (default): the handler's return means done. `manual`: the stream stays owned until `done()`, also after the return. */
  readonly settle?: 'auto' | 'manual';
  /** Failures in a row without progress (a checkpoint) before the dead-letter stream. Default 5. */
  readonly maxAttempts?: number;
  readonly backoff?: BackoffOptions;
  /**
   * Owners that may die in a row on one stream, without a checkpoint, a failure or a release between them, before it
   * goes to the dead-letter stream: the end of a stream that kills each process that takes it. Everything else those
   * processes held is counted with it, so set it well above what restarts and crashes of other causes add up to.
   * Default 0: no limit.
   */
  readonly maxTakeovers?: number;
  /** Ask handlers to give up streams above this process's fair share when peers have room. Default false. */
  readonly handOver?: boolean;
  /** Largest announcement accepted, in bytes; larger ones go to the dead-letter stream. Default 262,144. */
  readonly maxAnnouncementBytes?: number;
  /** Deepest nesting of an announcement accepted, its own object counted: `Info` may have one level less. Default 64. */
  readonly maxDepth?: number;
}

export interface LeaseConsumerOptions extends LeaseTuning {
  /** Reads the stream `<service>-input` in the group `<service>-group`. */
  readonly service: string;
  /** Name of the connection; default: the one given as `connection`. */
  readonly connection?: string;
}

export interface ErrorContext {
  readonly connection?: string;
  readonly service?: string;
  readonly stream?: string;
  readonly queue?: string;
  readonly group?: string;
  readonly partition?: number;
  readonly room?: string;
  readonly attempt?: number;
  readonly token?: number;
  /** What was being done, in words. */
  readonly during: string;
}

export interface RetentionOptions {
  /** Messages a partition keeps at most. Default 1,000,000. */
  readonly maxEntries?: number;
  /** How long messages are kept after every group has committed them, for seeking back and for new groups. Default 0 ms. */
  readonly keepMs?: number;
  /**
   * A partition with `maxEntries` messages that not every group has committed: `reject` (default) refuses new ones with a
   * PartitionFullError; `drop-oldest` deletes unread messages, counts them and raises `partition.dropped`.
   */
  readonly whenFull?: 'reject' | 'drop-oldest';
}

/** A hash of your own. Every process must give the same function under the same name. */
export interface CustomPartitioner {
  readonly name: string;
  /** @returns a whole number from 0 to `partitions` - 1 */
  partition(key: string, partitions: number): number;
}

/** A partitioned stream. The first registration stands for good; one that differs is refused with a StreamMismatchError. */
export interface StreamRegistration {
  /** Up to 200 of the characters A-Z a-z 0-9 _ . - */
  readonly name: string;
  /** Put before the name, so that several applications can share a Redis. Default: the option `partition.namespace`. */
  readonly namespace?: string;
  /** Name of the connection; default: the one given as `connection`. */
  readonly connection?: string;
  /** 1 to 10,000. The bound of how many consumers of a group can work at once. Cannot be changed later. */
  readonly partitions: number;
  /** Hash slots over which the partitions are spread on Redis Cluster. Default 1. Cannot be changed later. */
  readonly shards?: number;
  /** Default `murmur2`, as Kafka; `fnv1a` as segmenter. */
  readonly partitioner?: 'murmur2' | 'fnv1a' | CustomPartitioner;
  readonly retention?: RetentionOptions;
}

export interface RetryOptions extends BackoffOptions {
  /** Deliveries of a message before it goes to the dead-letter stream. Default 5. */
  readonly maxAttempts?: number;
}

/** What a partition consumer may set; `RedisStreamsOptions.partition` holds the defaults for all of them. */
export interface PartitionTuning {
  /** Different keys of one partition that are handled side by side. Default 1. A key never overtakes itself. */
  readonly concurrency?: number;
  /** Messages of a partition read ahead and not yet committed: at most so many run again when this process dies. Default 256. */
  readonly prefetch?: number;
  /**
   * Hand messages over in batches of at most so many: the handler gets arrays, returns to acknowledge all of them, and after a
   * failure gets each of them alone. Whatever is there is handed over; nothing waits for a batch to fill. Default: one by one.
   */
  readonly batch?: number;
  /** `auto` (default): the handler's return acknowledges. `manual`: `ctx.ack()` does; the key waits for it. */
  readonly ack?: 'auto' | 'manual';
  /** Not acknowledged for this long: the signal aborts, and the message is delivered again as after a failure. Default 300,000 ms. */
  readonly maxProcessingMs?: number;
  readonly retry?: RetryOptions;
  /**
   * Deaths of a process on one message before the message goes to the dead-letter stream. After two deaths in a row at
   * one place its messages run one at a time, recorded before each; the one that was running at the further deaths is
   * parked. At least 3; default 5; 0: never.
   */
  readonly maxCrashes?: number;
  /** Where a group begins that has never run. Default `earliest`. A string is an entry id; a Date a moment. */
  readonly startFrom?: 'earliest' | 'latest' | Date | string;
  /**
   * After a clean stop, keep this process's partitions for its return under the same consumer name for so long: a rolling
   * restart then moves nothing, at the price that nobody handles them meanwhile. Needs a consumer name of its own
   * (`consumerName` or POD_NAME). Default 0: handed over at once.
   */
  readonly rejoinMs?: number;
}

export interface PartitionConsumerOptions extends PartitionTuning {
  /** A registered stream's name. */
  readonly stream: string;
  /** Consumers of one group share the partitions; each group gets every message. */
  readonly group: string;
  /** Default: the option `partition.namespace`. */
  readonly namespace?: string;
  /** Name of the connection; default: the one given as `connection`. */
  readonly connection?: string;
}

export interface PartitionDefaults extends PartitionTuning {
  /** Put before the names of streams that give none. Default: none. */
  readonly namespace?: string;
  /** How long handlers and producers wait at the start for somebody to register their stream. Default 5,000 ms. */
  readonly registrationWaitMs?: number;
}

/** What a room's subscriber may set; `RedisStreamsOptions.fanout` holds the defaults for all of them. */
export interface RoomTuning {
  /** The room waits for this subscriber's acknowledgement. Default true. */
  readonly sync?: boolean;
  /** `auto` (default): the handler's return acknowledges. `manual`: `ctx.ack()` does. */
  readonly ack?: 'auto' | 'manual';
  /** A sync subscriber that has not acknowledged for this long, retries included, is ejected and the room goes on. Default 30,000 ms. */
  readonly ackTimeoutMs?: number;
  /** A handler that throws: `nack-retry` (default) calls it again after a backoff, at most `retry.maxAttempts` times, then `eject`; `eject` at once; `ack`: reported and counted as acknowledged. */
  readonly onFailure?: 'nack-retry' | 'eject' | 'ack';
  /** Default: 5 attempts, the second after 100 ms, at most 5,000 ms apart. */
  readonly retry?: RetryOptions;
  /** An ejected subscriber: `rejoin` (default) comes back when its handler has ended, with the next message; `leave` stays out. */
  readonly whenEjected?: 'rejoin' | 'leave';
  /** Messages that wait for an async subscriber at most; beyond, the oldest is dropped and `room.dropped` raised. Default 1,000. */
  readonly maxQueued?: number;
}

export interface RoomHandlerOptions extends RoomTuning {
  /** A room's name, or a pattern: `*` stands for any characters. */
  readonly room: string | RegExp;
  /** Name of the connection; default: the one given as `connection`. */
  readonly connection?: string;
}

/** Rooms. All processes that share rooms must be given the same. */
export interface FanoutOptions extends RoomTuning {
  /** Put into the names of all keys, so that several applications can share a Redis. Default: none. */
  readonly namespace?: string;
  /** Hash slots over which rooms are spread on Redis Cluster. Default 1. All processes must agree: FanoutMismatchError. */
  readonly shards?: number;
  /** A room without sync subscribers: `hold` (default) keeps messages until one comes; `pass` shows them to whoever is there. */
  readonly whenEmpty?: 'hold' | 'pass';
  /** Messages a room holds at most; beyond, sends are refused with a BackpressureError. Default 10,000. */
  readonly maxBacklog?: number;
  /**
   * `at-least-once` (default): what a subscriber missed over a broken connection it fetches, and a message whose subscribers
   * all went away over it is shown again. `at-most-once`: neither.
   */
  readonly delivery?: 'at-least-once' | 'at-most-once';
  /** With `at-least-once`: how often a message is shown again before it goes to the dead-letter stream. Default 3. */
  readonly maxRedeliveries?: number;
}

export interface RedisStreamsOptions {
  /** The default connection. Default: `redis://127.0.0.1:6379`. */
  readonly connection?: ConnectionOptions;
  /** Further connections by name. */
  readonly connections?: Readonly<Record<string, ConnectionOptions>>;
  /** Default: POD_NAME, else POD_IP, else the host name. A name given here or by POD_NAME must be unique among live processes. */
  readonly consumerName?: string;
  readonly session?: SessionOptions;
  /** A command unanswered for this long fails and its connection is replaced. Default 2,000 ms. */
  readonly commandTimeoutMs?: number;
  /** Redis must answer within this time at start, else start fails. Default 10,000 ms. */
  readonly startTimeoutMs?: number;
  readonly shutdown?: {
    /** Handlers still running this long after the stop signal lose their streams to peers. Default 5,000 ms. */
    readonly drainMs?: number;
  };
  /** Defaults of all lease consumers. */
  readonly lease?: LeaseTuning;
  /** Defaults for all partition consumers. */
  readonly partition?: PartitionDefaults;
  /** Rooms: what all processes agree on, and the defaults for all subscribers. */
  readonly fanout?: FanoutOptions;
  /** Defaults of queues. */
  readonly queue?: QueueDefaults;
  /** The Nest transport, server and client. */
  readonly transport?: TransportOptions;
  /** Called with every error nobody else gets: connections, readers, handlers. What it throws is a process warning. */
  readonly onError?: (error: Error, context: ErrorContext) => void;
}
