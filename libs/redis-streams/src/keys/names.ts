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

/** Half of a surrogate pair: no UTF-8 stands for it, so the name would arrive as another. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Data stream names are the users' own keys: any non-empty, well-formed string up to 512 bytes. */
export function checkStreamName(name: unknown, path: string): OptionProblem[] {
  return typeof name === 'string' && name.length > 0 && !LONE_SURROGATE.test(name) && Buffer.byteLength(name) <= MAX_STREAM_BYTES
    ? []
    : [{ path, message: `must be a non-empty, well-formed string of at most ${MAX_STREAM_BYTES} bytes (got ${describe(name)})` }];
}

/** A misspelt option must not pass for its default. */
export function checkKeys(input: object, known: readonly string[], path = ''): OptionProblem[] {
  return Object.keys(input)
    .filter((key) => !known.includes(key))
    .map((key) => ({ path: path === '' ? key : `${path}.${key}`, message: `is not an option; known: ${known.join(', ')}` }));
}

export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);
  if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}

const PART = /^[A-Za-z0-9_.-]{1,200}$/;

/** Name of a partitioned stream, its namespace or a consumer group: a part of key names and hash tags that never holds a separator. */
export function checkPartName(name: unknown, path: string): OptionProblem[] {
  return typeof name === 'string' && PART.test(name) ? [] : [{ path, message: `must be 1-200 of the characters A-Z a-z 0-9 _ . - (got ${describe(name)})` }];
}
