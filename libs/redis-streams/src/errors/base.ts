import type { ErrorCode } from './index.js';

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
