import { RedisStreamsError } from './base.js';

/** No server has ever handled requests of this pattern. Nothing was stored. */
export class NoHandlerError extends RedisStreamsError {
  constructor(readonly pattern: string, waitedMs: number) {
    super('NO_HANDLER', `no server has ever handled requests of the pattern ${pattern} (waited ${waitedMs} ms for one); start the service, or check the pattern and transport.namespace on both sides`, true);
  }
}

/** A request got no value, and no end, in time. It may have run, and may still. */
export class RequestTimeoutError extends RedisStreamsError {
  constructor(readonly pattern: string, timeoutMs: number) {
    super('REQUEST_TIMEOUT', `no reply to the request ${pattern} for ${timeoutMs} ms (transport.requestTimeoutMs)`, true);
  }
}

/** The `signal.reason` of a request's handler: whoever sent it has unsubscribed, timed out or gone away. */
export class RequestCancelledError extends RedisStreamsError {
  constructor(readonly pattern: string) {
    super('REQUEST_CANCELLED', `nobody waits for the reply to the request ${pattern} any more`, false);
  }
}

/** Services disagree on how the events of a pattern travel: in a queue, or in order in a partitioned stream. */
export class PatternMismatchError extends RedisStreamsError {
  constructor(readonly pattern: string, here: string, there: string) {
    super('PATTERN_MISMATCH', `the events of ${pattern} are ${here} here, and ${there} as registered by another service; say the same \`partitions\` for this pattern in every service`, false);
  }
}
