import { RedisStreamsError } from './base.js';

export { RedisStreamsError };
export * from './queue.js';
export * from './transport.js';

/** Every error this package throws on purpose. `code` is stable; `retriable` says whether the same call may succeed later. */
export type ErrorCode =
  | 'INVALID_OPTIONS'
  | 'CONNECTION'
  | 'COMMAND_TIMEOUT'
  | 'FENCED'
  | 'LEASE_ABORTED'
  | 'ALREADY_CLAIMED'
  | 'CONSUMER_NAME_IN_USE'
  | 'BACKPRESSURE'
  | 'CLOSED'
  | 'STREAM_NOT_REGISTERED'
  | 'STREAM_MISMATCH'
  | 'PARTITION_FULL'
  | 'PARTITION_UNUSABLE'
  | 'PARTITION_LOST'
  | 'HANDLER_TIMEOUT'
  | 'ROOM_EJECTED'
  | 'ACK_TIMEOUT'
  | 'FANOUT_MISMATCH'
  | 'MESSAGE_LOST'
  | 'QUEUE_NOT_REGISTERED'
  | 'QUEUE_MISMATCH'
  | 'NOT_REPLICATED'
  | 'NO_HANDLER'
  | 'REQUEST_TIMEOUT'
  | 'REQUEST_CANCELLED'
  | 'PATTERN_MISMATCH';

/** What a handler threw, as an Error. Anything may be thrown, also what `String` cannot convert. */
export function toError(thrown: unknown): Error {
  try {
    if (thrown instanceof Error) return thrown;
    return new Error(String(thrown), { cause: thrown });
  } catch {
    return new Error(`a thrown ${typeof thrown} without a text`, { cause: thrown });
  }
}

/** One wrong option: where it stands, and what would be right. */
export interface OptionProblem {
  readonly path: string;
  readonly message: string;
}

/** Thrown once with every problem found, so that one restart mends them all. */
export class InvalidOptionsError extends RedisStreamsError {
  constructor(readonly problems: readonly OptionProblem[]) {
    super(
      'INVALID_OPTIONS',
      `invalid options:\n${problems.map(({ path, message }) => `  - ${path}: ${message}`).join('\n')}`,
      false,
    );
  }
}

/** Redis could not be reached, or the connection ended with the command unanswered. */
export class ConnectionError extends RedisStreamsError {
  constructor(message: string, cause?: unknown) {
    super('CONNECTION', message, true, { cause });
  }
}

/** No answer within `commandTimeoutMs`. The command may or may not have run; every script here is safe to send again. */
export class CommandTimeoutError extends RedisStreamsError {
  constructor(command: string, timeoutMs: number) {
    super('COMMAND_TIMEOUT', `${command} was not answered within ${timeoutMs} ms; the connection is being replaced`, true);
  }
}

/**
 * A settle, checkpoint or completion was refused because this owner's fencing token is no longer the current one.
 * Nothing was changed. Stop working on the resource: somebody else owns it, or it is finished.
 */
export class FencedError extends RedisStreamsError {
  constructor(
    readonly resource: string,
    /** Undefined where ownership has no number: messages of a queue. */
    readonly token: number | undefined,
    readonly operation: string,
  ) {
    super('FENCED', `${operation} of "${resource}" refused: ${token === undefined ? '' : `token ${token} is stale, `}it has another owner by now, or is finished`, false);
  }
}

/** Why a lease ended before its handler did. */
export type AbortReason = 'session-lost' | 'fenced' | 'shutdown' | 'rebalance' | 'released';

/** The `signal.reason` of an aborted lease, and what `entries()` throws then. */
export class LeaseAbortedError extends RedisStreamsError {
  constructor(
    readonly stream: string,
    readonly reason: AbortReason,
  ) {
    super('LEASE_ABORTED', `lease of "${stream}" aborted: ${ABORT_TEXT[reason]}`, false);
  }
}

const ABORT_TEXT: Record<AbortReason, string> = {
  'session-lost': 'this process was silent past its deadline, so its streams belong to others now',
  fenced: 'another owner has been granted the stream',
  shutdown: 'the application is stopping; the stream is handed to a peer',
  rebalance: 'a peer with room takes the stream over',
  released: 'the handler gave the stream back',
};

/** A claim lost: another consumer owns the stream now, or it is finished. */
export class AlreadyClaimedError extends RedisStreamsError {
  constructor(
    readonly stream: string,
    readonly owner: string | undefined,
  ) {
    super('ALREADY_CLAIMED', `"${stream}" ${owner ? `is owned by ${owner}` : 'has no open lease: it was completed, or never announced'}`, false);
  }
}

/** Two live processes were given one consumer name. */
export class ConsumerNameInUseError extends RedisStreamsError {
  constructor(name: string, holder: string, scope: string) {
    super(
      'CONSUMER_NAME_IN_USE',
      `consumer name "${name}" is in use by the live session ${holder} of "${scope}"; give every process a consumerName (or POD_NAME) of its own`,
      false,
    );
  }
}

/** A bounded buffer is full. Nothing of the refused call was sent. */
export class BackpressureError extends RedisStreamsError {
  constructor(what: string, limit: string) {
    super('BACKPRESSURE', `${what} is full (${limit}); wait for earlier sends to settle, or raise the bound`, true);
  }
}

/** The object was closed; nothing was sent, unless the message says that it was under way. */
export class ClosedError extends RedisStreamsError {
  constructor(what: string, detail?: string) {
    super('CLOSED', `${what} is closed${detail ? `: ${detail}` : ''}`, false);
  }
}

/** Nobody has registered a partitioned stream of that name. */
export class StreamNotRegisteredError extends RedisStreamsError {
  constructor(readonly stream: string, who: string) {
    super(
      'STREAM_NOT_REGISTERED',
      `${who}: nobody has registered the stream "${stream}"; register it in one of the applications (RedisStreamsModule.registerStream({ name, partitions })), or check the name and the namespace`,
      false,
    );
  }
}

/** The stream is registered, and differently. The first registration stands. */
export class StreamMismatchError extends RedisStreamsError {
  constructor(
    readonly stream: string,
    /** What differs: `partitions: 12 here, 16 as registered`. */
    readonly differences: readonly string[],
    readonly registeredBy: string,
  ) {
    super(
      'STREAM_MISMATCH',
      `the stream "${stream}" was registered by ${registeredBy} and differs: ${differences.join('; ')}. The first registration stands: make this one equal, or choose another name`,
      false,
    );
  }
}

/** A partition holds `maxEntries` messages that some group has not committed. Nothing of the refused message was stored. */
export class PartitionFullError extends RedisStreamsError {
  constructor(
    readonly stream: string,
    readonly partition: number,
    maxEntries: number,
  ) {
    super(
      'PARTITION_FULL',
      `partition ${partition} of "${stream}" is full: ${maxEntries} messages that not every group has committed; see why its consumers lag (or remove a group that is no longer used), then send again`,
      true,
    );
  }
}

/** The key of a partition holds something that is no stream. Nothing of the refused message was stored. */
export class PartitionUnusableError extends RedisStreamsError {
  constructor(
    readonly stream: string,
    readonly partition: number,
    key: string,
  ) {
    super('PARTITION_UNUSABLE', `partition ${partition} of "${stream}" cannot be written: the key ${key} holds something that is no stream; find out who wrote it, and delete or rename it`, false);
  }
}

/** Why a partition was taken from this process. */
export type PartitionLossReason = 'session-lost' | 'fenced' | 'shutdown' | 'rebalance';

const LOSS_TEXT: Record<PartitionLossReason, string> = {
  'session-lost': 'this process was silent past its deadline, so its partitions belong to others now',
  fenced: 'another owner has been granted the partition, or its position was moved',
  shutdown: 'the application is stopping and the handler did not end in time',
  rebalance: 'the partition moves to a peer and the handler did not end in time',
};

/** The `signal.reason` of a handler whose partition has gone: it is handled again by the next owner. */
export class PartitionLostError extends RedisStreamsError {
  constructor(
    readonly stream: string,
    readonly partition: number,
    readonly reason: PartitionLossReason,
  ) {
    super('PARTITION_LOST', `partition ${partition} of "${stream}" lost: ${LOSS_TEXT[reason]}`, false);
  }
}

/** A handler has not acknowledged within `maxProcessingMs`; the `signal.reason` then. The message is delivered again. */
export class HandlerTimeoutError extends RedisStreamsError {
  constructor(what: string, maxProcessingMs: number) {
    super('HANDLER_TIMEOUT', `${what} was not acknowledged within ${maxProcessingMs} ms (maxProcessingMs)`, true);
  }
}

/** Why a subscriber is not waited for any more. */
export type EjectReason = 'timeout' | 'failed' | 'session-lost' | 'expired' | 'removed' | 'left';

const EJECT_TEXT: Record<EjectReason, string> = {
  timeout: 'it did not acknowledge within ackTimeoutMs',
  failed: 'its handler failed as often as it may',
  'session-lost': 'this process was silent past its deadline',
  expired: 'the room did not hear from this process in time',
  removed: 'the room was removed',
  left: 'it left',
};

/** The `signal.reason` of a handler that its room does not wait for any more. */
export class RoomEjectedError extends RedisStreamsError {
  constructor(
    readonly room: string,
    readonly subscriber: string,
    readonly reason: EjectReason,
  ) {
    super('ROOM_EJECTED', `${subscriber} is out of the room "${room}": ${EJECT_TEXT[reason]}`, false);
  }
}

/** A message was sent, and not acknowledged by everybody within `timeoutMs`. It stays sent, and goes on to be delivered. */
export class AckTimeoutError extends RedisStreamsError {
  constructor(
    readonly room: string,
    readonly id: string,
    timeoutMs: number,
  ) {
    super('ACK_TIMEOUT', `message ${id} of the room "${room}" was sent, and not acknowledged by all within ${timeoutMs} ms; state("${room}") tells who owes`, true);
  }
}

/** Processes disagree about the number of shards: rooms would be in two places. The first one's stands. */
export class FanoutMismatchError extends RedisStreamsError {
  constructor(shards: number, registered: number, by: string) {
    super(
      'FANOUT_MISMATCH',
      `fanout.shards is ${shards} here and ${registered} as ${by} registered it first; make all processes equal, or give this one another fanout.namespace`,
      false,
    );
  }
}
