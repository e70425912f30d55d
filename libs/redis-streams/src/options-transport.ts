import type { QueueProducerOptions, QueueTuning } from './options.js';

/** As Nest's serializers and deserializers: may answer with a promise. */
export interface PacketSerializer {
  serialize(packet: unknown, options?: Readonly<Record<string, unknown>>): unknown;
}
export interface PacketDeserializer {
  deserialize(value: unknown, options?: Readonly<Record<string, unknown>>): unknown;
}

/** The Nest transport: `RedisStreamsServer` and `RedisStreamsClient`. Both sides must agree on `namespace`. */
export interface TransportOptions {
  /**
   * Name of this service: its instances share its events, and each service gets every event once. Needed by a server with event
   * handlers. Up to 100 of the characters A-Z a-z 0-9 _ . -
   */
  readonly service?: string;
  /** Put before the names of all streams and queues of the transport. Default `transport`. */
  readonly namespace?: string;
  /** Name of the connection; default: the one given as `connection`. */
  readonly connection?: string;
  /** Parts of the queue of each pattern, 1 to 256; on a Redis Cluster they lie on all masters. Default 1. Cannot be changed later. */
  readonly shards?: number;
  /** Defaults of all event handlers. */
  readonly events?: Omit<QueueTuning, 'blockMs'>;
  /** Defaults of all request handlers. Default of `concurrency`: 256. */
  readonly requests?: Pick<QueueTuning, 'concurrency' | 'prefetch' | 'maxProcessingMs' | 'maxCrashes' | 'retry'>;
  /** Of the client. */
  readonly producer?: QueueProducerOptions;
  /**
   * Client: a request that has not got a value, or its end, for this long fails with a RequestTimeoutError, and a server that
   * finds it later does not run it. Default 60,000 ms; 0: never.
   */
  readonly requestTimeoutMs?: number;
  /** Client: how long a request waits for somebody to handle its pattern when nobody ever has. Default 5,000 ms. */
  readonly handlerWaitMs?: number;
  /** How data travels. `json` (default), or `msgpack` for dates, buffers, maps and the like; needs the package msgpackr. Both sides read both. */
  readonly codec?: 'json' | 'msgpack';
  /** Largest message accepted, in bytes as it travels; a larger one is refused by the client, and goes to the dead letters in a server. Default 1,048,576. */
  readonly maxBytes?: number;
  /** Deepest nesting of data accepted; a deeper one is refused by the client, and goes to the dead letters in a server. Default 64. */
  readonly maxDepth?: number;
  /** Server: of replies. Client: of requests and events. Instead of `codec`. */
  readonly serializer?: PacketSerializer;
  /** Server: of requests and events. Client: of replies. */
  readonly deserializer?: PacketDeserializer;
}

/** What one pattern of a server may set, by `streamOptions({...})` as extras of `@EventPattern` and `@MessagePattern`. */
export interface PatternOptions extends Omit<QueueTuning, 'blockMs'> {
  /** Events only: a partitioned stream of so many partitions instead of a queue, handled in order for each key. Every service must say the same. */
  readonly partitions?: number;
  /** Events only: every live instance gets each event, instead of one instance of the service. Events of before its start it does not get. */
  readonly broadcast?: boolean;
}
