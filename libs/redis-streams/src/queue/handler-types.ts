import type { Headers } from '../handling/headers.js';

/** Second argument of a handler of messages, and `@Ctx()`. The first of `ack`, `nack`, `deadLetter`, the return and the throw counts. */
export interface QueueContext<T = unknown> {
  /** Full name: with its namespace. */
  readonly queue: string;
  readonly group: string;
  readonly shard: number;
  /** Id of the stream entry; stays the same through retries. */
  readonly id: string;
  /** The id its sender gave it, if any. */
  readonly messageId: string | undefined;
  readonly key: string | undefined;
  readonly data: T;
  readonly headers: Headers;
  /** 1 at the first delivery. Failures, timeouts and deaths of the process that ran it are counted, by whomever. */
  readonly attempt: number;
  /** It was given to a consumer before, which may have begun or even finished it. */
  readonly redelivered: boolean;
  /** Of its data as it travels, in characters. */
  readonly size: number;
  /** Server milliseconds at which it joined the queue. */
  readonly queuedAt: number;
  /** Aborts with a MessageLostError or a HandlerTimeoutError as reason. */
  readonly signal: AbortSignal;
  /** It is done. Needed with `ack: 'manual'`. Resolves when Redis has it. @throws FencedError when the message is somebody else's by now */
  ack(): Promise<void>;
  /** It failed: again after `delayMs`, by default after the backoff; counts as an attempt. Resolves when Redis has it. @throws FencedError */
  nack(delayMs?: number): Promise<void>;
  /** To the dead letters. Resolves when Redis has it. @throws FencedError */
  deadLetter(reason: string): Promise<void>;
}

export interface QueueHandlers {
  message(data: unknown, context: QueueContext): unknown;
  /** @internal So long what was handled may wait to be settled along with more; whoever asks whether it is stored is not kept waiting. */
  readonly settleWithinMs?: number;
  /** @internal Part of the name its sessions have, where that is exclusive: others of the same name may be in the group. */
  readonly role?: string;
}

/** One group's view of a queue, over all shards. */
export interface QueueStats {
  readonly queue: string;
  readonly group: string;
  /** Kept in Redis at present, delayed ones not counted. */
  readonly messages: number;
  /** Not given to any consumer yet. -1: Redis cannot tell (several groups, and messages were deleted by hand). */
  readonly waiting: number;
  /** With consumers of the group, waiting retries counted. */
  readonly pending: number;
  /** To be delivered again later. */
  readonly retrying: number;
  /** Sent with a delay that has not passed. */
  readonly delayed: number;
  /** Of all groups. */
  readonly deadLetters: number;
  readonly consumers: number;
  readonly paused: boolean;
  /** Age of the oldest message that some group has yet to settle, in milliseconds. */
  readonly oldestMs: number | undefined;
  /** Every group of the queue: a message is kept until each of them has settled it. */
  readonly groups: readonly string[];
}
