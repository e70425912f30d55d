import type { Cluster, ClusterOptions, Redis, RedisOptions } from 'ioredis';

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
  readonly attempt?: number;
  readonly token?: number;
  /** What was being done, in words. */
  readonly during: string;
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
  /** Called with every error nobody else gets: connections, readers, handlers. What it throws is a process warning. */
  readonly onError?: (error: Error, context: ErrorContext) => void;
}
