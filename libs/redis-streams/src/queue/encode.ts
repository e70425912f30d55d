import { InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import { MAX_DELAY_MS } from '../handling/outcome.js';
import { RawJson } from '../handling/raw-json.js';
import { isHeaders } from '../keys/check.js';
import { checkKeys, describe } from '../keys/names.js';
import type { QueueSendOptions } from './types.js';

const MAX_KEY_LENGTH = 1_024;
const MAX_MESSAGE_LENGTH = 16_777_216;
const OPTIONS = ['headers', 'id', 'key', 'delayMs'];
const NOTHING: QueueSendOptions = {};

/** A message on its way, until it is written into its batch. */
export class Outgoing {
  constructor(
    readonly data: string,
    /** Nothing: none. */
    readonly key: string,
    /** JSON, or nothing. */
    readonly headers: string,
    readonly id: string,
    /** Milliseconds, or nothing. */
    readonly delay: string,
  ) {}

  /** Its data is all there is to it. */
  get plain(): boolean {
    return this.key === '' && this.headers === '' && this.id === '' && this.delay === '';
  }

  /** In bytes, about. */
  get size(): number {
    return this.data.length + this.key.length + this.headers.length + this.id.length + 16;
  }
}

/** A message as it travels. @throws InvalidOptionsError with everything that is wrong with it */
export function encode(data: unknown, options: QueueSendOptions = NOTHING, path = '', known: readonly string[] = OPTIONS): Outgoing {
  if (options === NOTHING) {
    const plain = plainOf(data);
    if (plain) return plain;
  }
  const problems = problemsOf(data, options, path, known);
  if (problems.length > 0) throw new InvalidOptionsError(problems);
  const { key = '', headers, id = '', delayMs = 0 } = options;
  return new Outgoing(json(data)!, key, headersText(headers), id, delayMs > 0 ? String(Math.ceil(delayMs)) : '');
}

/** One of several, at its place. @throws InvalidOptionsError */
export function encodeMessage(message: QueueSendOptions & { readonly data: unknown }, place: number): Outgoing {
  if (typeof message === 'object' && message !== null && isOnlyData(message)) {
    const plain = plainOf(message.data);
    if (plain) return plain;
  }
  const path = `messages[${place}]`;
  if (typeof message !== 'object' || message === null) throw new InvalidOptionsError([{ path, message: `must be an object (got ${describe(message)})` }]);
  return encode(message.data, message, path, ['data', ...OPTIONS]);
}

function isOnlyData(message: { readonly data: unknown }): boolean {
  if (message.data === undefined) return false;
  for (const key in message) if (key !== 'data') return false;
  return true;
}

/** The way of nearly all messages, without a thing made for the complaints of the others. */
function plainOf(data: unknown): Outgoing | undefined {
  const text = json(data);
  return text !== undefined && text.length <= MAX_MESSAGE_LENGTH ? new Outgoing(text, '', '', '', '') : undefined;
}

function problemsOf(data: unknown, options: QueueSendOptions, path: string, known: readonly string[]): OptionProblem[] {
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`);
  if (typeof options !== 'object' || options === null || Symbol.iterator in options) return [{ path: at('options'), message: `must be an object (got ${describe(options)})` }];
  const problems: OptionProblem[] = checkKeys(options, known, path);
  const bad = (key: string, text: string, value: unknown): void => void problems.push({ path: at(key), message: `${text} (got ${describe(value)})` });
  const { key, id, headers, delayMs } = options;
  if (!isName(key)) bad('key', `must be a string of 1 to ${MAX_KEY_LENGTH} characters without control characters`, key);
  if (!isName(id)) bad('id', `must be a string of 1 to ${MAX_KEY_LENGTH} characters without control characters`, id);
  if (delayMs !== undefined && !(typeof delayMs === 'number' && delayMs >= 0 && delayMs <= MAX_DELAY_MS)) bad('delayMs', `must be a number of milliseconds from 0 to ${MAX_DELAY_MS}`, delayMs);
  if (headers !== undefined && !isHeaders(headers)) bad('headers', 'must be an object of strings', headers);
  else if (isLong(headers)) bad('headers', `must be at most ${MAX_MESSAGE_LENGTH} characters as JSON`, headers);
  try {
    const { length } = data instanceof RawJson ? data.text : (JSON.stringify(data) ?? 'null');
    if (length > MAX_MESSAGE_LENGTH) bad('data', `must be at most ${MAX_MESSAGE_LENGTH} characters as JSON`, length);
  } catch (error) {
    bad('data', `must be something JSON can carry: ${(error as Error).message}`, data);
  }
  return problems;
}

/** JSON, or nothing where there are none. */
function headersText(headers: QueueSendOptions['headers']): string {
  return headers && Object.keys(headers).length > 0 ? JSON.stringify(headers) : '';
}

/** In JSON a character takes six at most: those of few are not written twice for it. */
function isLong(headers: QueueSendOptions['headers'] = {}): boolean {
  let most = 2;
  for (const name in headers) most += 6 * (name.length + headers[name]!.length + 1);
  return most > MAX_MESSAGE_LENGTH && headersText(headers).length > MAX_MESSAGE_LENGTH;
}

function isName(name: unknown): boolean {
  // Half of a surrogate pair would arrive as another character, and lengths are told in bytes.
  return name === undefined || (typeof name === 'string' && name !== '' && name.length <= MAX_KEY_LENGTH && !/[\p{Cc}\p{Surrogate}]/u.test(name));
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
