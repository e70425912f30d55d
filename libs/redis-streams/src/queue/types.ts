import type { Headers } from '../handling/headers.js';

export type { Headers };

export interface QueueSendOptions {
  readonly headers?: Headers;
  /**
   * Another message of this id, and of the same key if there is one, is not stored again within `dedupeMs` of the queue's
   * registration: its send resolves as `duplicate`. 1 to 1,024 characters.
   */
  readonly id?: string;
  /** Messages of one key go to one shard, where they lie in the order they were sent. 1 to 1,024 characters. Default: shards in turn; while all are busy, sixteen messages each. */
  readonly key?: string;
  /** It joins the queue so many milliseconds after Redis has it. At most 31,536,000,000, a year. Default 0. */
  readonly delayMs?: number;
}

/** A message to send. */
export interface OutgoingQueueMessage<T = unknown> extends QueueSendOptions {
  /** Anything JSON can carry; `undefined` is sent as null. */
  readonly data: T;
}

/** Where Redis keeps a message. */
export interface SentQueueMessage {
  readonly shard: number;
  /** Id of the entry; of a delayed message the name under which it waits. Of a duplicate: the first message's. */
  readonly id: string;
  /** A message of the same id was there before, and this one was not stored. */
  readonly duplicate: boolean;
}

export interface ClosedQueueProducer {
  /** Messages whose sends were rejected because the deadline had come. */
  readonly unsent: number;
}
