import { InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import { RawJson } from '../handling/raw-json.js';
import { hasControls } from '../kernel/characters.js';
import { isHeaders } from '../keys/check.js';
import { checkKeys, describe } from '../keys/names.js';
import type { OutgoingMessage } from './types.js';

/** For "no key": no key may hold it. */
export const NO_KEY = '\u0001';
const MAX_KEY_LENGTH = 1_024;
const MAX_MESSAGE_LENGTH = 16_777_216;
const FIELDS = ['key', 'data', 'headers', 'partition'] as const;

/** A message on its way, until it is written into its batch. */
export class Outgoing {
  partition = -1;

  constructor(
    readonly key: string,
    readonly data: string,
    /** JSON, or nothing. */
    readonly headers: string,
  ) {}

  /** In bytes, about. */
  get size(): number {
    return this.data.length + this.key.length + this.headers.length + 16;
  }
}

/** A message as it travels. @throws InvalidOptionsError with everything that is wrong with it */
export function encode(message: OutgoingMessage, partitions: number, path: string): Outgoing {
  const data = typeof message === 'object' && message !== null ? json(message.data) : undefined;
  // The way of nearly all messages, without a thing made for the complaints of the others.
  if (data !== undefined && data.length <= MAX_MESSAGE_LENGTH && isKey(message.key) && !unknownIn(message)) {
    const { key = NO_KEY, headers, partition } = message;
    if (headers === undefined && partition === undefined) return new Outgoing(key, data, '');
    const text = headersText(headers);
    if (text !== undefined && isPartition(partition, partitions)) return new Outgoing(key, data, text);
  }
  throw new InvalidOptionsError(problemsOf(message, partitions, path));
}

function problemsOf(message: OutgoingMessage, partitions: number, path: string): OptionProblem[] {
  if (typeof message !== 'object' || message === null) return [{ path, message: `must be an object (got ${describe(message)})` }];
  const problems: OptionProblem[] = checkKeys(message, FIELDS, path);
  const bad = (key: string, text: string, value: unknown): void => void problems.push({ path: `${path}${key}`, message: `${text} (got ${describe(value)})` });
  const { key, headers, partition } = message;
  if (!isKey(key)) bad('.key', `must be a string of at most ${MAX_KEY_LENGTH} characters without control characters`, key);
  if (!isPartition(partition, partitions)) bad('.partition', `must be a whole number from 0 to ${partitions - 1}`, partition);
  try {
    const { length } = message.data instanceof RawJson ? message.data.text : (JSON.stringify(message.data) ?? 'null');
    if (length > MAX_MESSAGE_LENGTH) bad('.data', `must be at most ${MAX_MESSAGE_LENGTH} characters as JSON`, length);
  } catch (error) {
    bad('.data', `must be something JSON can carry: ${(error as Error).message}`, message.data);
  }
  if (headers !== undefined && !isHeaders(headers)) bad('.headers', 'must be an object of strings', headers);
  else if (headersText(headers) === undefined) bad('.headers', `must be at most ${MAX_MESSAGE_LENGTH} characters as JSON`, headers);
  return problems;
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

function isPartition(partition: unknown, partitions: number): boolean {
  return partition === undefined || (Number.isInteger(partition) && (partition as number) >= 0 && (partition as number) < partitions);
}

/** JSON, or nothing where there are none. Undefined: they cannot be sent. */
function headersText(headers: OutgoingMessage['headers']): string | undefined {
  if (headers !== undefined && !isHeaders(headers)) return undefined;
  const text = headers === undefined || Object.keys(headers).length === 0 ? '' : JSON.stringify(headers);
  return text.length <= MAX_MESSAGE_LENGTH ? text : undefined;
}

/** Undefined when JSON cannot carry it. */
function json(data: unknown): string | undefined {
  if (data instanceof RawJson) return data.text;
  try {
    return JSON.stringify(data) ?? 'null';
  } catch {
    return undefined;
  }
}
