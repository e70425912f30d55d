import { Buffer } from 'node:buffer';
import { InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import { MAX_DELAY_MS } from '../handling/outcome.js';
import { headersJson, jsonOf, NotJson } from '../handling/raw-json.js';
import { isHeaders } from '../keys/check.js';
import { checkKeys, describe } from '../keys/names.js';
import type { QueueSendOptions } from './types.js';

const MAX_KEY_LENGTH = 1_024;
const MAX_MESSAGE_LENGTH = 16_777_216;
const OPTIONS = ['headers', 'id', 'key', 'delayMs'];
const MESSAGE = ['data', ...OPTIONS];
const NOTHING: QueueSendOptions = {};
/** What stands around a message's data, and around its other texts. */
const AROUND = 16;
const AROUND_OTHERS = 32;

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

  /** In bytes if it is ASCII. */
  get size(): number {
    return this.data.length + this.key.length + this.headers.length + this.id.length + AROUND;
  }

  /** Worked out: what it takes when it is written down, or a little more. */
  get bytes(): number {
    const data = Buffer.byteLength(this.data) + AROUND;
    return this.plain ? data : data + Buffer.byteLength(this.key) + Buffer.byteLength(this.headers) + Buffer.byteLength(this.id) + AROUND_OTHERS;
  }
}

/** A message as it travels. @throws InvalidOptionsError with everything that is wrong with it */
export function encode(data: unknown, options: QueueSendOptions = NOTHING): Outgoing {
  const text = jsonOf(data);
  return options === NOTHING && isCarried(text) ? new Outgoing(text, '', '', '', '') : encodeAll(text, data, options, '', OPTIONS);
}

/** One of several, at its place. @throws InvalidOptionsError */
export function encodeMessage(message: QueueSendOptions & { readonly data: unknown }, place: number): Outgoing {
  if (typeof message !== 'object' || message === null) throw new InvalidOptionsError([{ path: `messages[${place}]`, message: `must be an object (got ${describe(message)})` }]);
  const { data } = message;
  const text = jsonOf(data);
  return isCarried(text) && data !== undefined && isOnlyData(message) ? new Outgoing(text, '', '', '', '') : encodeAll(text, data, message, `messages[${place}]`, MESSAGE);
}

/** Nearly all are plain, and nothing is made for the complaints of the others. */
function encodeAll(text: string | NotJson, data: unknown, options: QueueSendOptions, path: string, known: readonly string[]): Outgoing {
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`);
  if (typeof options !== 'object' || options === null || Symbol.iterator in options) throw new InvalidOptionsError([{ path: at('options'), message: `must be an object (got ${describe(options)})` }]);
  const problems: OptionProblem[] = checkKeys(options, known, path);
  const bad = (key: string, why: string, value: unknown): void => void problems.push({ path: at(key), message: `${why} (got ${describe(value)})` });
  const { key, id, headers, delayMs } = options;
  if (!isName(key)) bad('key', `must be a string of 1 to ${MAX_KEY_LENGTH} characters without control characters`, key);
  if (!isName(id)) bad('id', `must be a string of 1 to ${MAX_KEY_LENGTH} characters without control characters`, id);
  if (delayMs !== undefined && !(typeof delayMs === 'number' && delayMs >= 0 && delayMs <= MAX_DELAY_MS)) bad('delayMs', `must be a number of milliseconds from 0 to ${MAX_DELAY_MS}`, delayMs);
  let headersText = '';
  if (headers !== undefined && !isHeaders(headers)) bad('headers', 'must be an object of strings', headers);
  else if ((headersText = headersJson(headers)).length > MAX_MESSAGE_LENGTH) bad('headers', `must be at most ${MAX_MESSAGE_LENGTH} characters as JSON`, headers);
  if (text instanceof NotJson) bad('data', `must be something JSON can carry: ${text.why}`, data);
  else if (text.length > MAX_MESSAGE_LENGTH) bad('data', `must be at most ${MAX_MESSAGE_LENGTH} characters as JSON`, text.length);
  else if (problems.length === 0) return new Outgoing(text, key ?? '', headersText, id ?? '', delayMs !== undefined && delayMs > 0 ? String(Math.ceil(delayMs)) : '');
  throw new InvalidOptionsError(problems);
}

function isCarried(text: string | NotJson): text is string {
  return typeof text === 'string' && text.length <= MAX_MESSAGE_LENGTH;
}

function isOnlyData(message: object): boolean {
  for (const key in message) if (key !== 'data') return false;
  return true;
}

function isName(name: unknown): boolean {
  // Half of a surrogate pair would arrive as another character, and lengths are told in bytes.
  return name === undefined || (typeof name === 'string' && name !== '' && name.length <= MAX_KEY_LENGTH && !/[\p{Cc}\p{Surrogate}]/u.test(name));
}
