import { RpcException } from '@nestjs/microservices';
import { givenDelay, OUTCOME, type Outcome } from '../handling/outcome.js';

/**
 * What a handler throws to say itself what becomes of its message. Nest turns everything else that is thrown into a plain object;
 * an RpcException's own `getError()` is what it keeps, so these survive its exception filters. Understood by handlers of events,
 * requests, queues and partitions alike.
 */
abstract class OutcomeException extends RpcException {
  readonly [OUTCOME]: Outcome;

  constructor(message: string, outcome: Outcome, options?: { readonly cause?: unknown }) {
    super(message);
    this.name = new.target.name;
    this[OUTCOME] = outcome;
    if (options?.cause !== undefined) this.cause = options.cause;
  }

  override getError(): this {
    return this;
  }

  /** As a reply to a request. */
  toJSON(): { status: 'error'; message: string } {
    return { status: 'error', message: this.message };
  }
}

/** Deliver again after `delayMs`, a year at most; by default, and where it is no number, after the backoff. Counts as an attempt: at `retry.maxAttempts` it is dead-lettered. */
export class RetryException extends OutcomeException {
  constructor(message = 'the handler asks for another attempt', { delayMs, cause }: { readonly delayMs?: number; readonly cause?: unknown } = {}) {
    const delay = givenDelay(delayMs);
    super(message, { kind: 'retry', ...(delay === undefined ? {} : { delayMs: delay }) }, { cause });
  }
}

/** No further attempt: to the dead letters, with this reason. */
export class DeadLetterException extends OutcomeException {
  constructor(reason: string, { message = reason, cause }: { readonly message?: string; readonly cause?: unknown } = {}) {
    super(message, { kind: 'dead-letter', reason }, { cause });
  }
}

/** Acknowledge it, though it was not handled. Whoever sent a request gets this error as reply. */
export class DropException extends OutcomeException {
  constructor(message = 'dropped by the handler', options?: { readonly cause?: unknown }) {
    super(message, { kind: 'drop' }, options);
  }
}
