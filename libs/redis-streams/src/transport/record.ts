import { InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import type { Headers } from '../handling/headers.js';
import { isHeaders, objectOf } from '../keys/check.js';
import { checkKeys, describe } from '../keys/names.js';
import { RESERVED } from './headers.js';

export interface RecordOptions {
  /** Events of one key are handled in order where the pattern has `partitions`; elsewhere they lie in one shard. */
  readonly key?: string;
  /** Strings by name. Names beginning with `nrs-` are the transport's. */
  readonly headers?: Headers;
  /** Not before so many milliseconds from now. Not where the pattern has `partitions`. */
  readonly delayMs?: number;
  /** Another message of this id within ten minutes is not stored. Not where the pattern has `partitions`. */
  readonly id?: string;
  /** Not run any more when it is so old; from the moment it is due. Default: never; of a request: `requestTimeoutMs`. */
  readonly ttlMs?: number;
}

/** Registered, so that two copies of this package in one process, as of a CommonJS and an ESM module, understand each other. */
const RECORD: unique symbol = Symbol.for('nestjs-redis-streams:record') as never;

export function isRecord(data: unknown): data is RedisStreamsRecord {
  return typeof data === 'object' && data !== null && (data as { [RECORD]?: unknown })[RECORD] === true;
}

/** Data with options, for `client.emit(pattern, new RedisStreamsRecord(data, { key }))` and `client.send`. */
export class RedisStreamsRecord<T = unknown> {
  /** @throws InvalidOptionsError */
  constructor(
    readonly data: T,
    readonly options: RecordOptions = {},
  ) {
    const problems: OptionProblem[] = [];
    const given = objectOf(options, 'record', problems);
    problems.push(...checkKeys(given, ['key', 'headers', 'delayMs', 'id', 'ttlMs'], 'record'));
    const { headers = {}, ttlMs } = given;
    if (!isHeaders(headers)) problems.push({ path: 'record.headers', message: `must be an object of strings (got ${describe(headers)})` });
    else for (const name of Object.keys(headers)) if (name.toLowerCase().startsWith(RESERVED)) problems.push({ path: `record.headers.${name}`, message: `must not begin with "${RESERVED}", which is for the transport` });
    if (ttlMs !== undefined && !(typeof ttlMs === 'number' && ttlMs >= 1)) problems.push({ path: 'record.ttlMs', message: `must be a number of milliseconds from 1 (got ${describe(ttlMs)})` });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
  }

  /** @internal */
  get [RECORD](): true {
    return true;
  }
}
