import type { RetryOptions } from './options.js';

/** A queue. The first registration stands for good; one that differs is refused with a QueueMismatchError. */
export interface QueueRegistration {
  /** Up to 200 of the characters A-Z a-z 0-9 _ . - */
  readonly name: string;
  /** Put before the name, so that several applications can share a Redis. Default: the option `queue.namespace`. */
  readonly namespace?: string;
  /** Name of the connection; default: the one given as `connection`. */
  readonly connection?: string;
  /** Parts of the queue, 1 to 256, which lie evenly on the masters of a Redis Cluster. Default 1. Cannot be changed later. */
  readonly shards?: number;
  /** For how long another message of the same id is not stored again. Default 600,000 ms; 0: ids are not looked at. Cannot be changed later. */
  readonly dedupeMs?: number;
}

/** What a queue's producer may set; `RedisStreamsOptions.queue.producer` holds the defaults for all of them. */
export interface QueueProducerOptions {
  /** Messages that are sent and not settled yet at most. Default 50,000. */
  readonly maxPending?: number;
  /** The same in bytes, about. The process needs twice that, and 400 bytes a message. Default 33,554,432. */
  readonly maxPendingBytes?: number;
  /**
   * What becomes of a send beyond `maxPending` or `maxPendingBytes`. `reject` (default): it rejects with a BackpressureError at once.
   * `wait`: it waits for its turn, for `sendTimeoutMs` at most, and goes out in the order of the calls; beyond `maxPending` sends that
   * wait it rejects as well. `sendMany` hands over as many messages as it has.
   */
  readonly whenFull?: 'reject' | 'wait';
  /** Messages of one batch, 1 to 2,000; a batch has 1 MiB at most besides. Default 256. */
  readonly maxBatch?: number;
  /**
   * For so long a batch that is not full waits for more messages, from its first on; as Kafka's `linger.ms`. Default 0: it goes as soon
   * as the one before is answered, so that batches grow with the load by themselves.
   */
  readonly lingerMs?: number;
  /** A message that could not be stored for so long is given up, and its send rejects. Default 15,000 ms. */
  readonly sendTimeoutMs?: number;
  /**
   * Replicas that must have a message before its send resolves. Default 0: it resolves when the primary has it, and is lost
   * when the primary dies before a replica has it.
   */
  readonly waitReplicas?: number;
  /** With `waitReplicas`: how long the replicas are waited for before the batch is asked about again. Default 1,000 ms. */
  readonly waitTimeoutMs?: number;
}

/** What a queue's consumer may set; `RedisStreamsOptions.queue` holds the defaults for all of them. */
export interface QueueTuning {
  /** Messages handled at once in this process. Default 16. */
  readonly concurrency?: number;
  /**
   * Messages this process holds at most: read ahead, being handled, or being settled. They wait for this process; when it dies, until
   * its session has expired. Of each shard it holds `Math.ceil(prefetch / shards)`, so at least one, and none has another one's share:
   * of one shard no more than that run at once. What is due again while a read waits comes on top, at most as much again. Default: 256
   * and, for one that handles more than that in a tenth of a second, up to 4,096; at least `concurrency`.
   */
  readonly prefetch?: number;
  /**
   * How long one read waits in Redis for messages, 10 to 30,000 ms. Default 2,000 ms. What comes ends it at once: this is how often an
   * idle consumer asks again, no delay.
   */
  readonly blockMs?: number;
  /** `auto` (default): the handler's return acknowledges. `manual`: `ctx.ack()` does. */
  readonly ack?: 'auto' | 'manual';
  /** Not settled for this long: the signal aborts, and the message is delivered again as after a failure. Default 300,000 ms. */
  readonly maxProcessingMs?: number;
  readonly retry?: RetryOptions;
  /**
   * Deaths of a process on one message before the message goes to the dead letters. What a dead process held is written down
   * before it runs again; the first death is not counted, since what ran then is not known. Default 3; 0: never.
   */
  readonly maxCrashes?: number;
  /** Where a group begins that has never run. Default `earliest`: with what the queue still has. */
  readonly startFrom?: 'earliest' | 'latest';
}

export interface QueueConsumerOptions extends QueueTuning {
  /** A registered queue's name. */
  readonly queue: string;
  /** Consumers of one group share the messages; each group gets every message. Default `default`. */
  readonly group?: string;
  /** Default: the option `queue.namespace`. */
  readonly namespace?: string;
  /** Name of the connection; default: the one given as `connection`. */
  readonly connection?: string;
}

export interface QueueDefaults extends QueueTuning {
  /** Put before the names of queues that give none. Default: none. */
  readonly namespace?: string;
  /** How long handlers and producers wait at the start for somebody to register their queue. Default 5,000 ms. */
  readonly registrationWaitMs?: number;
  /** Defaults of all producers. */
  readonly producer?: QueueProducerOptions;
}
