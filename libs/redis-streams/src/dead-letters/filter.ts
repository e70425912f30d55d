import { InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import { isStreamId } from '../kernel/stream-id.js';
import { objectOf } from '../keys/check.js';
import { checkKeys, describe } from '../keys/names.js';
import type { DeadLetter, DeadLetterFilter, DeadLetterQuery, DeadLetterSelection, ReplayOptions } from './types.js';

/** A letter's place in its source. */
export interface LetterId {
  readonly shard: number;
  readonly id: string;
}

/** What of a filter is decided by a letter's id, which says when it was given up: half-open, in milliseconds. */
export interface Span {
  readonly since: number;
  readonly until: number;
}

export interface Filter extends Span {
  matches(letter: DeadLetter): boolean;
}

/** @throws InvalidOptionsError with everything that is wrong with it */
export function resolveFilter(given?: DeadLetterFilter, path = 'filter'): Filter {
  const problems: OptionProblem[] = [];
  // A function or a list in its place would let everything through, and what is purged is gone.
  const input = objectOf(given, path, problems);
  const { since, until, where } = input;
  problems.push(...checkKeys(input, ['reason', 'key', 'since', 'until', 'where'], path));
  const set = (name: 'reason' | 'key'): ReadonlySet<string> | undefined => {
    const value = input[name];
    if (value === undefined) return undefined;
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (!list.every((text) => typeof text === 'string')) problems.push({ path: `${path}.${name}`, message: `must be a string, or several (got ${describe(value)})` });
    return new Set(list as readonly string[]);
  };
  const moment = (name: 'since' | 'until', fallback: number): number => {
    const value = input[name];
    const ms = value instanceof Date ? value.getTime() : value;
    if (ms === undefined) return fallback;
    if (typeof ms !== 'number' || !(ms >= 0)) problems.push({ path: `${path}.${name}`, message: `must be a Date or a number of milliseconds (got ${describe(value)})` });
    return ms;
  };
  const reasons = set('reason');
  const keys = set('key');
  const span = { since: since === undefined ? 0 : moment('since', 0), until: until === undefined ? Infinity : moment('until', Infinity) };
  if (where !== undefined && typeof where !== 'function') problems.push({ path: `${path}.where`, message: `must be a function (got ${describe(where)})` });
  if (problems.length > 0) throw new InvalidOptionsError(problems);
  return {
    ...span,
    matches: (letter) =>
      (!reasons || reasons.has(letter.reason)) && (!keys || (letter.key !== undefined && keys.has(letter.key))) &&
      letter.at >= span.since && letter.at < span.until && (!where || where(letter)),
  };
}

export interface Query {
  readonly newest: boolean;
  readonly after: LetterId | undefined;
  readonly limit: number;
  readonly filter: Filter;
}

/** @throws InvalidOptionsError */
export function resolveQuery(given: DeadLetterQuery, shards: number): Query {
  const problems: OptionProblem[] = [];
  const input = objectOf(given, 'query', problems);
  const { order = 'newest', after, limit = 100 } = input;
  problems.push(...checkKeys(input, ['order', 'after', 'limit', 'filter']));
  if (order !== 'newest' && order !== 'oldest') problems.push({ path: 'order', message: `must be "newest" or "oldest" (got ${describe(order)})` });
  problems.push(...checkLimit(limit, 'limit'));
  if (problems.length > 0) throw new InvalidOptionsError(problems);
  return { newest: order === 'newest', after: after === undefined ? undefined : letterIdOf(after, shards, 'after'), limit, filter: resolveFilter(input.filter) };
}

export type Selection = { readonly ids: readonly LetterId[] } | { readonly filter: Filter; readonly limit: number };

/** @throws InvalidOptionsError */
export function resolveSelection(input: DeadLetterSelection, shards: number): Selection {
  if (typeof input === 'string') return { ids: [letterIdOf(input, shards, 'selection')] };
  if (Array.isArray(input)) {
    const ids = (input as readonly string[]).map((id, i) => letterIdOf(id, shards, `selection[${i}]`));
    return { ids: [...new Map(ids.map((id) => [textOf(id), id])).values()] };
  }
  // Nothing, or null, must not pass for everything; nor must a Set of ids.
  if (typeof input !== 'object' || input === null || Symbol.iterator in input) throw new InvalidOptionsError([{ path: 'selection', message: `must be an id, several, or { filter, limit } (got ${describe(input)})` }]);
  const { filter, limit = Infinity } = input as Exclude<DeadLetterSelection, string | readonly string[]>;
  const problems = [...checkKeys(input, ['filter', 'limit'], 'selection'), ...(limit === Infinity ? [] : checkLimit(limit, 'selection.limit'))];
  if (problems.length > 0) throw new InvalidOptionsError(problems);
  return { filter: resolveFilter(filter, 'selection.filter'), limit };
}

export function checkReplayOptions(given: ReplayOptions, known: readonly string[]): void {
  const problems: OptionProblem[] = [];
  const options = objectOf(given, 'options', problems);
  problems.push(...checkKeys(options, known));
  const { by, perSecond } = options;
  if (by !== undefined && (typeof by !== 'string' || by === '')) problems.push({ path: 'by', message: `must be a non-empty string (got ${describe(by)})` });
  if (perSecond !== undefined && !(typeof perSecond === 'number' && perSecond > 0)) problems.push({ path: 'perSecond', message: `must be a number above 0 (got ${describe(perSecond)})` });
  if (problems.length > 0) throw new InvalidOptionsError(problems);
}

/** "shard:id"; without a shard where there is but one. @throws InvalidOptionsError */
export function letterIdOf(text: unknown, shards: number, path: string): LetterId {
  const [, shard, id] = (typeof text === 'string' && /^(?:(\d{1,5}):)?(\d+-\d+)$/.exec(text)) || [];
  const index = shard === undefined && shards === 1 ? 0 : Number(shard);
  if (!isStreamId(id) || !(index < shards)) throw new InvalidOptionsError([{ path, message: `must be the entryId of a dead letter, "shard:id" with a shard below ${shards} (got ${describe(text)})` }]);
  return { shard: index, id };
}

export function textOf({ shard, id }: LetterId): string {
  return `${shard}:${id}`;
}

function checkLimit(limit: unknown, path: string): OptionProblem[] {
  return Number.isInteger(limit) && (limit as number) >= 1 && (limit as number) <= 1_000_000 ? [] : [{ path, message: `must be a whole number from 1 to 1000000 (got ${describe(limit)})` }];
}
