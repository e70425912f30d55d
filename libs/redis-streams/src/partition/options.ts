import type { OptionProblem } from '../errors/index.js';
import { DEFAULT_BACKOFF, type ResolvedBackoff } from '../kernel/backoff.js';
import { isStreamId } from '../kernel/stream-id.js';
import { Check, objectOf } from '../keys/check.js';
import { checkKeys, checkPartName, describe } from '../keys/names.js';
import { fullName } from '../keys/partition-keys.js';
import type { PartitionConsumerOptions, PartitionDefaults, PartitionTuning } from '../options.js';

export interface ResolvedPartitionTuning {
  readonly concurrency: number;
  readonly prefetch: number;
  readonly batch: number | undefined;
  readonly ack: 'auto' | 'manual';
  readonly maxProcessingMs: number;
  readonly maxAttempts: number;
  readonly backoff: ResolvedBackoff;
  readonly maxCrashes: number;
  /** As XGROUP CREATE wants it: the id after which a new group begins, or `$`. */
  readonly startFrom: string;
  readonly rejoinMs: number;
}

export interface ResolvedPartitionOptions extends ResolvedPartitionTuning {
  /** Full name. */
  readonly stream: string;
  readonly group: string;
  readonly connection: string;
}

export interface ResolvedPartitionDefaults extends ResolvedPartitionTuning {
  readonly namespace: string | undefined;
  readonly registrationWaitMs: number;
}

const TUNING = ['concurrency', 'prefetch', 'batch', 'ack', 'maxProcessingMs', 'retry', 'maxCrashes', 'startFrom', 'rejoinMs'];

/** Applies defaults and reports every problem with its path. */
export function resolvePartitionTuning(input: PartitionTuning, path: string, base?: ResolvedPartitionTuning): { value: ResolvedPartitionTuning; problems: OptionProblem[] } {
  const check = new Check(path);
  const retry = objectOf(input.retry, `${path}.retry`, check.problems);
  check.problems.push(...checkKeys(retry, ['maxAttempts', ...Object.keys(DEFAULT_BACKOFF)], `${path}.retry`));
  const prefetch = check.number('prefetch', input.prefetch, base?.prefetch ?? 256, 1, 10_000);
  const batch = input.batch === undefined ? base?.batch : check.number('batch', input.batch, 1, 1, 10_000);
  const maxCrashes = check.number('maxCrashes', input.maxCrashes, base?.maxCrashes ?? 5, 0, 1_000);
  if (maxCrashes === 1 || maxCrashes === 2) check.report('maxCrashes', 'must be 0 (never) or at least 3', maxCrashes);
  const value: ResolvedPartitionTuning = {
    prefetch,
    batch,
    maxCrashes,
    concurrency: check.number('concurrency', input.concurrency, base?.concurrency ?? 1, 1, 10_000),
    ack: check.oneOf('ack', input.ack, ['auto', 'manual'], base?.ack),
    maxProcessingMs: check.number('maxProcessingMs', input.maxProcessingMs, base?.maxProcessingMs ?? 300_000, 10, 86_400_000),
    maxAttempts: check.number('retry.maxAttempts', retry.maxAttempts, base?.maxAttempts ?? 5, 1, 1_000_000),
    startFrom: input.startFrom === undefined ? (base?.startFrom ?? '0-0') : startOf(input.startFrom, (message) => check.report('startFrom', message, input.startFrom)),
    rejoinMs: check.number('rejoinMs', input.rejoinMs, base?.rejoinMs ?? 0, 0, 86_400_000),
    backoff: check.backoff('retry', retry, base?.backoff ?? DEFAULT_BACKOFF),
  };
  return { value, problems: check.problems };
}

export function resolvePartitionDefaults(input: PartitionDefaults = {}, path = 'partition'): { value: ResolvedPartitionDefaults; problems: OptionProblem[] } {
  const wrong: OptionProblem[] = [];
  input = objectOf(input, path, wrong);
  const { value, problems } = resolvePartitionTuning(input, path);
  problems.push(...wrong, ...checkKeys(input, [...TUNING, 'namespace', 'registrationWaitMs'], path));
  if (input.namespace !== undefined) problems.push(...checkPartName(input.namespace, `${path}.namespace`));
  const wait = input.registrationWaitMs ?? 5_000;
  if (!(typeof wait === 'number' && wait >= 0 && wait <= 3_600_000)) problems.push({ path: `${path}.registrationWaitMs`, message: `must be a number of milliseconds from 0 to 3600000 (got ${describe(wait)})` });
  return { value: { ...value, namespace: input.namespace, registrationWaitMs: wait }, problems };
}

export function resolvePartitionOptions(
  input: PartitionConsumerOptions,
  base: ResolvedPartitionDefaults,
  context: { connections: readonly string[]; exclusive: boolean; path: string },
): { value: ResolvedPartitionOptions; problems: OptionProblem[] } {
  const { path } = context;
  const wrong: OptionProblem[] = [];
  input = objectOf(input, path, wrong);
  const { value, problems } = resolvePartitionTuning(input, path, base);
  problems.push(...wrong, ...checkKeys(input, [...TUNING, 'stream', 'group', 'namespace', 'connection'], path));
  problems.push(...checkPartName(input.stream, `${path}.stream`), ...checkPartName(input.group, `${path}.group`));
  if (input.namespace !== undefined) problems.push(...checkPartName(input.namespace, `${path}.namespace`));
  const check = new Check(path);
  const connection = check.connection(input.connection, context.connections);
  problems.push(...check.problems);
  if (value.rejoinMs > 0 && !context.exclusive) problems.push({ path: `${path}.rejoinMs`, message: 'needs a name to come back under: set consumerName (or POD_NAME) to one that this process keeps over a restart' });
  return { value: { ...value, stream: fullName(input.namespace ?? base.namespace, input.stream), group: input.group, connection }, problems };
}

/** The id after which to begin; `$` for only new ones. */
function startOf(start: unknown, problem: (message: string) => void): string {
  if (start === 'earliest') return '0-0';
  if (start === 'latest') return '$';
  const after = idBefore(start);
  if (after !== undefined) return after;
  problem('must be "earliest", "latest", an entry id such as "1700000000000-0", or a Date');
  return '0-0';
}

/** The greatest id before the entry or moment given: reading goes on after it. Undefined when it is neither. */
export function idBefore(start: unknown): string | undefined {
  if (start instanceof Date) return Number.isFinite(start.getTime()) && start.getTime() >= 0 ? before(BigInt(start.getTime()), 0n) : undefined;
  if (!isStreamId(start)) return undefined;
  const [ms, sequence] = start.split('-');
  return before(BigInt(ms!), BigInt(sequence ?? '0'));
}

function before(ms: bigint, sequence: bigint): string {
  if (sequence > 0n) return `${ms}-${sequence - 1n}`;
  return ms > 0n ? `${ms - 1n}-18446744073709551615` : '0-0';
}
