import type { OptionProblem } from '../errors/index.js';

const SERVICE = /^[A-Za-z0-9_.:-]{1,200}$/;
const CONSUMER = /^[A-Za-z0-9_.@-]{1,200}$/;
const MAX_STREAM_BYTES = 512;

/**
 * A service name becomes part of key names and of a hash tag. Braces would move the tag, blanks would
 * break records, so neither is allowed.
 */
export function checkServiceName(name: unknown, path: string): OptionProblem[] {
  return typeof name === 'string' && SERVICE.test(name)
    ? []
    : [{ path, message: `must be 1-200 of the characters A-Z a-z 0-9 _ . : - (got ${describe(name)})` }];
}

/** A consumer name is the part of a session id before the colon. */
export function checkConsumerName(name: unknown, path: string): OptionProblem[] {
  return typeof name === 'string' && CONSUMER.test(name)
    ? []
    : [{ path, message: `must be 1-200 of the characters A-Z a-z 0-9 _ . @ - (got ${describe(name)})` }];
}

/** Data stream names are the users' own keys: any non-empty string up to 512 bytes. */
export function checkStreamName(name: unknown, path: string): OptionProblem[] {
  return typeof name === 'string' && name.length > 0 && Buffer.byteLength(name) <= MAX_STREAM_BYTES
    ? []
    : [{ path, message: `must be a non-empty string of at most ${MAX_STREAM_BYTES} bytes (got ${describe(name)})` }];
}

export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);
  if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}
