import type { PartitionLossReason } from '../errors/index.js';
import type { Headers } from '../handling/headers.js';

export type { Headers };

/** A message to send. */
export interface OutgoingMessage<T = unknown> {
  /** Decides the partition; messages of one key are handled in the order they were sent. Without one: any partition, no order. */
  readonly key?: string;
  /** Anything JSON can carry; `undefined` is sent as null. */
  readonly data: T;
  readonly headers?: Headers;
  /** Overrides the partition that `key` would decide. */
  readonly partition?: number;
}

/** Where Redis keeps a message. */
export interface SentMessage {
  readonly partition: number;
  readonly id: string;
}

/** A message as its handler sees it. */
export interface PartitionMessage<T = unknown> {
  readonly id: string;
  readonly partition: number;
  readonly key: string | undefined;
  readonly data: T;
  readonly headers: Headers;
  /** 1 at the first delivery; failures are counted across owners, and so are timeouts. */
  readonly attempt: number;
}

interface Delivery {
  /** Full name: with its namespace. */
  readonly stream: string;
  readonly group: string;
  readonly partition: number;
  /**
   * The partition's epoch: rises with every change of owner. A store that refuses writes with a smaller token than
   * it has seen for this partition is safe from an owner that was paused and does not know yet that it lost it.
   */
  readonly fencingToken: number;
  /** Aborts with a PartitionLostError or a HandlerTimeoutError as reason. */
  readonly signal: AbortSignal;
  /** Messages of this partition behind this one, as far as known: at most about a second old. */
  readonly lag: number;
  /**
   * Acknowledges: these messages are not delivered again. Needed with `ack: 'manual'`; otherwise the handler's return does
   * it. Resolves when the commit is stored. @throws FencedError when the partition has another owner by now
   */
  ack(): Promise<void>;
}

/** Second argument of a handler of single messages, and `@Ctx()`. */
export interface PartitionContext<T = unknown> extends Delivery, PartitionMessage<T> {
  /** Of its data as it travels, in characters. */
  readonly size: number;
}

/** Second argument of a handler of batches, and `@Ctx()`: messages of one partition in the order of each key. */
export interface PartitionBatchContext<T = unknown> extends Delivery {
  readonly messages: ReadonlyArray<PartitionMessage<T>>;
}

export interface OwnedPartitionRef {
  readonly partition: number;
  readonly fencingToken: number;
}

/** What `assigned`, `revoked` and `lost` are told. */
export interface PartitionsEvent {
  readonly stream: string;
  readonly group: string;
  readonly partitions: readonly OwnedPartitionRef[];
}

export interface PartitionsRevoked extends PartitionsEvent {
  readonly reason: 'rebalance' | 'shutdown';
}

export interface PartitionsLost extends PartitionsEvent {
  readonly reason: PartitionLossReason;
}

/** Called for this process's consumer. Failures are reported as `hook.error`. */
export interface PartitionHooks {
  /** Awaited before the first message of these partitions, at most `shutdown.drainMs`. */
  assigned?(event: PartitionsEvent): unknown;
  /** All handlers have ended and all is committed; awaited before the hand-over, at most `shutdown.drainMs`. */
  revoked?(event: PartitionsRevoked): unknown;
  /** Already somebody else's. Not awaited. */
  lost?(event: PartitionsLost): unknown;
}

/** What consumes a stream: exactly one of `message` and `batch`. */
export interface PartitionHandlers extends PartitionHooks {
  message?(data: unknown, context: PartitionContext): unknown;
  batch?(data: unknown[], context: PartitionBatchContext): unknown;
}

export interface GroupMember {
  /** Its consumer name when that is its own, else its session. */
  readonly name: string;
  /** Undefined while its seat is kept for its return. */
  readonly session: string | undefined;
  /** What it shall own. */
  readonly target: readonly number[];
  /** What it owns. */
  readonly owned: readonly number[];
  /** Server milliseconds until which its session lives unless it renews it. */
  readonly deadline: number | undefined;
}

export interface PartitionOwner {
  readonly partition: number;
  /** Undefined: free, or its owner has died and nobody has taken it yet. */
  readonly owner: string | undefined;
  readonly session: string | undefined;
  readonly fencingToken: number;
}

/** A group's coordination at one moment. */
export interface GroupAssignment {
  readonly stream: string;
  readonly group: string;
  /** Rises with every change of the members, to at least the server's microseconds. */
  readonly generation: number;
  /** The target is made for the present members, and everybody owns what it shall. */
  readonly settled: boolean;
  readonly members: readonly GroupMember[];
  readonly owners: readonly PartitionOwner[];
  readonly paused: 'all' | readonly number[];
}

export interface PartitionLag {
  readonly partition: number;
  /** Messages kept in the partition. */
  readonly size: number;
  /** Id up to which all is committed; `0-0` at the beginning, undefined for a group that has never run. */
  readonly position: string | undefined;
  readonly lastId: string;
  /** Messages not committed. -1: Redis cannot tell (messages were deleted by hand or dropped; known again at the end). */
  readonly lag: number;
}

/** Where to go on: the oldest kept message, only new ones, from an entry id on, or from a moment on. */
export type Position = 'earliest' | 'latest' | Date | string;

export interface PartitionDeadLetter {
  readonly entryId: string;
  readonly reason: string;
  readonly error: string;
  readonly stream: string;
  readonly group: string;
  readonly partition: number;
  readonly id: string;
  readonly key: string | undefined;
  /** As it was stored. */
  readonly data: string;
  readonly headers: Headers;
  readonly attempts: number;
  /** Server milliseconds. */
  readonly at: number;
}
