import type { OptionProblem } from '../errors/index.js';
import { DEFAULT_BACKOFF, type ResolvedBackoff } from '../kernel/backoff.js';
import { Check, objectOf } from '../keys/check.js';
import { checkKeys, checkPartName } from '../keys/names.js';
import { fullName } from '../keys/partition-keys.js';
import type { QueueConsumerOptions, QueueDefaults, QueueTuning } from '../options.js';
import { resolveQueueProducer, type ResolvedQueueProducer } from './producer-options.js';

export interface ResolvedQueueTuning {
  readonly concurrency: number;
  readonly prefetch: number;
  /** As long as it is not shown to be fast it holds so many at most. */
  readonly prefetchFrom: number;
  readonly ack: 'auto' | 'manual';
  readonly maxProcessingMs: number;
  readonly blockMs: number;
  readonly maxAttempts: number;
  readonly backoff: ResolvedBackoff;
  readonly maxCrashes: number;
  /** As XGROUP CREATE wants it. */
  readonly startFrom: '0-0' | '$';
}

export interface ResolvedQueueConsumer extends ResolvedQueueTuning {
  /** Full name. */
  readonly queue: string;
  readonly group: string;
  readonly connection: string;
}

export interface ResolvedQueueDefaults extends ResolvedQueueTuning {
  readonly namespace: string | undefined;
  readonly registrationWaitMs: number;
  readonly producer: ResolvedQueueProducer;
}

/** Unless a number is given: from few to many, as fast as it is. */
const PREFETCH_FROM = 256;
const PREFETCH = 4_096;
const TUNING = ['concurrency', 'prefetch', 'blockMs', 'ack', 'maxProcessingMs', 'retry', 'maxCrashes', 'startFrom'];

/** Applies defaults and reports every problem with its path. */
export function resolveQueueTuning(input: QueueTuning, path: string, base?: ResolvedQueueTuning): { value: ResolvedQueueTuning; problems: OptionProblem[] } {
  const check = new Check(path);
  const retry = objectOf(input.retry, `${path}.retry`, check.problems);
  check.problems.push(...checkKeys(retry, ['maxAttempts', ...Object.keys(DEFAULT_BACKOFF)], `${path}.retry`));
  const concurrency = check.number('concurrency', input.concurrency, base?.concurrency ?? 16, 1, 1_000_000);
  const prefetch = check.number('prefetch', input.prefetch, Math.max(base?.prefetch ?? PREFETCH, concurrency), 1, 10_000_000);
  if (prefetch < concurrency) check.report('prefetch', `must be at least the concurrency, ${concurrency}: a message that is handled is held`, prefetch);
  const value: ResolvedQueueTuning = {
    concurrency,
    prefetch,
    prefetchFrom: input.prefetch === undefined ? Math.min(prefetch, Math.max(base?.prefetchFrom ?? PREFETCH_FROM, concurrency)) : prefetch,
    ack: check.oneOf('ack', input.ack, ['auto', 'manual'], base?.ack),
    maxProcessingMs: check.number('maxProcessingMs', input.maxProcessingMs, base?.maxProcessingMs ?? 300_000, 10, 86_400_000),
    blockMs: check.number('blockMs', input.blockMs, base?.blockMs ?? 2_000, 10, 30_000),
    maxAttempts: check.number('retry.maxAttempts', retry.maxAttempts, base?.maxAttempts ?? 5, 1, 1_000_000),
    backoff: check.backoff('retry', retry, base?.backoff ?? DEFAULT_BACKOFF),
    maxCrashes: check.number('maxCrashes', input.maxCrashes, base?.maxCrashes ?? 3, 0, 1_000),
    startFrom: input.startFrom === undefined ? (base?.startFrom ?? '0-0') : check.oneOf('startFrom', input.startFrom, ['earliest', 'latest']) === 'latest' ? '$' : '0-0',
  };
  return { value, problems: check.problems };
}

export function resolveQueueDefaults(given?: QueueDefaults, path = 'queue'): { value: ResolvedQueueDefaults; problems: OptionProblem[] } {
  const wrong: OptionProblem[] = [];
  const input = objectOf(given, path, wrong);
  const { value, problems } = resolveQueueTuning(input, path);
  problems.unshift(...wrong);
  const producer = resolveQueueProducer(input.producer, `${path}.producer`);
  const check = new Check(path);
  const registrationWaitMs = check.number('registrationWaitMs', input.registrationWaitMs, 5_000, 0, 3_600_000, false);
  problems.push(...checkKeys(input, [...TUNING, 'namespace', 'registrationWaitMs', 'producer'], path), ...producer.problems, ...check.problems);
  if (input.namespace !== undefined) problems.push(...checkPartName(input.namespace, `${path}.namespace`));
  return { value: { ...value, namespace: input.namespace, registrationWaitMs, producer: producer.value }, problems };
}

export function resolveQueueConsumer(
  given: QueueConsumerOptions,
  base: ResolvedQueueDefaults,
  context: { connections: readonly string[]; path: string },
): { value: ResolvedQueueConsumer; problems: OptionProblem[] } {
  const { path } = context;
  const wrong: OptionProblem[] = [];
  const input = objectOf(given, path, wrong);
  const { value, problems } = resolveQueueTuning(input, path, base);
  problems.unshift(...wrong);
  const { group = 'default' } = input;
  problems.push(...checkKeys(input, [...TUNING, 'queue', 'group', 'namespace', 'connection'], path));
  problems.push(...checkPartName(input.queue, `${path}.queue`), ...checkPartName(group, `${path}.group`));
  if (input.namespace !== undefined) problems.push(...checkPartName(input.namespace, `${path}.namespace`));
  const check = new Check(path);
  const connection = check.connection(input.connection, context.connections);
  problems.push(...check.problems);
  return { value: { ...value, queue: fullName(input.namespace ?? base.namespace, input.queue), group, connection }, problems };
}
