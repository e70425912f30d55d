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
  | 'CLOSED';

/** What a handler threw, as an Error. Anything may be thrown, also what `String` cannot convert. */
export function toError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  try {
    return new Error(String(thrown), { cause: thrown });
  } catch {
    return new Error(`a thrown ${typeof thrown} without a text`, { cause: thrown });
  }
}

/** Base class: catch this one to catch all of them. */
export class RedisStreamsError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly retriable: boolean,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = new.target.name;
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
    readonly token: number,
    readonly operation: string,
  ) {
    super('FENCED', `${operation} of "${resource}" refused: token ${token} is stale, the stream has another owner or is finished`, false);
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

/** The object was closed; nothing was sent. */
export class ClosedError extends RedisStreamsError {
  constructor(what: string) {
    super('CLOSED', `${what} is closed`, false);
  }
}
