import { Buffer } from 'node:buffer';
import { InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import { headersJson, jsonOf, NotJson } from '../handling/raw-json.js';
import { hasControls } from '../kernel/characters.js';
import { isHeaders } from '../keys/check.js';
import { checkKeys, describe } from '../keys/names.js';
import type { OutgoingMessage } from './types.js';

/** For "no key": no key may hold it. */
export const NO_KEY = '\u0001';
const MAX_KEY_LENGTH = 1_024;
const MAX_MESSAGE_LENGTH = 16_777_216;
const FIELDS = ['key', 'data', 'headers', 'partition'] as const;

/** What stands around a message's texts at most. */
const AROUND = 40;

/** A message on its way, until it is written into its batch. */
export class Outgoing {
  constructor(
    readonly key: string,
    readonly data: string,
    /** JSON, or nothing. */
    readonly headers: string,
    /** -1: yet to be chosen. */
    public partition: number,
  ) {}

  /** In bytes if it is ASCII. */
  get size(): number {
    return this.data.length + this.key.length + this.headers.length + AROUND;
  }

  /** Worked out: what it takes when it is written down, or a little more. */
  get bytes(): number {
    return Buffer.byteLength(this.data) + Buffer.byteLength(this.key) + Buffer.byteLength(this.headers) + AROUND;
  }
}

/** A message as it travels. @throws InvalidOptionsError with everything that is wrong with it */
export function encode(message: OutgoingMessage, partitions: number, path: string): Outgoing {
  if (typeof message !== 'object' || message === null) throw new InvalidOptionsError([{ path, message: `must be an object (got ${describe(message)})` }]);
  // Each is read once: what is looked at again may be something else.
  const { key, data, headers, partition } = message;
  const text = jsonOf(data);
  // The way of nearly all messages, without a thing made for the complaints of the others.
  if (isCarried(text) && isKey(key) && !unknownIn(message)) {
    if (headers === undefined && partition === undefined) return new Outgoing(key ?? NO_KEY, text, '', -1);
    const headersText = headersTextOf(headers);
    if (headersText !== undefined && isPartition(partition, partitions)) return new Outgoing(key ?? NO_KEY, text, headersText, partition ?? -1);
  }
  const problems: OptionProblem[] = checkKeys(message, FIELDS, path);
  const bad = (name: string, why: string, value: unknown): void => void problems.push({ path: `${path}${name}`, message: `${why} (got ${describe(value)})` });
  if (!isKey(key)) bad('.key', `must be a string of at most ${MAX_KEY_LENGTH} characters without control characters`, key);
  if (!isPartition(partition, partitions)) bad('.partition', `must be a whole number from 0 to ${partitions - 1}`, partition);
  if (text instanceof NotJson) bad('.data', `must be something JSON can carry: ${text.why}`, data);
  else if (text.length > MAX_MESSAGE_LENGTH) bad('.data', `must be at most ${MAX_MESSAGE_LENGTH} characters as JSON`, text.length);
  if (headers !== undefined && !isHeaders(headers)) bad('.headers', 'must be an object of strings', headers);
  else if (headersTextOf(headers) === undefined) bad('.headers', `must be at most ${MAX_MESSAGE_LENGTH} characters as JSON`, headers);
  throw new InvalidOptionsError(problems);
}

function isCarried(text: string | NotJson): text is string {
  return typeof text === 'string' && text.length <= MAX_MESSAGE_LENGTH;
}

/** A misspelt key must not pass for none, nor misspelt data for null. */
function unknownIn(message: OutgoingMessage): boolean {
  for (const name in message) if (name !== 'key' && name !== 'data' && name !== 'headers' && name !== 'partition' && Object.hasOwn(message, name)) return true;
  return false;
}

function isKey(key: unknown): key is string | undefined {
  if (key === undefined) return true;
  // Control characters are refused, and one of them stands for no key.
  return typeof key === 'string' && key.length <= MAX_KEY_LENGTH && !hasControls(key);
}

function isPartition(partition: unknown, partitions: number): partition is number | undefined {
  return partition === undefined || (Number.isInteger(partition) && (partition as number) >= 0 && (partition as number) < partitions);
}

/** JSON, or nothing where there are none. Undefined: they cannot be sent. */
function headersTextOf(headers: OutgoingMessage['headers']): string | undefined {
  if (headers !== undefined && !isHeaders(headers)) return undefined;
  const text = headersJson(headers);
  return text.length <= MAX_MESSAGE_LENGTH ? text : undefined;
}
