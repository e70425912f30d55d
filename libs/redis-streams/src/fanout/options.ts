import type { OptionProblem } from '../errors/index.js';
import type { ResolvedBackoff } from '../kernel/backoff.js';
import { Check, objectOf } from '../keys/check.js';
import { checkKeys, checkPartName } from '../keys/names.js';
import type { FanoutOptions, RoomTuning } from '../options.js';

export interface ResolvedRoomTuning {
  readonly sync: boolean;
  readonly ack: 'auto' | 'manual';
  readonly ackTimeoutMs: number;
  readonly onFailure: 'nack-retry' | 'eject' | 'ack';
  readonly maxAttempts: number;
  readonly backoff: ResolvedBackoff;
  readonly whenEjected: 'rejoin' | 'leave';
  readonly maxQueued: number;
}

export interface ResolvedFanout extends ResolvedRoomTuning {
  readonly namespace: string | undefined;
  readonly shards: number;
  readonly whenEmpty: 'hold' | 'pass';
  readonly maxBacklog: number;
  /** 0: at most once. */
  readonly maxRedeliveries: number;
}

const TUNING = ['sync', 'ack', 'ackTimeoutMs', 'onFailure', 'retry', 'whenEjected', 'maxQueued'];
const BACKOFF: ResolvedBackoff = { initialMs: 100, factor: 2, maxMs: 5_000, jitter: 0.5 };

/** Applies defaults and reports every problem with its path. */
export function resolveRoomTuning(input: RoomTuning, path: string, base?: ResolvedRoomTuning): { value: ResolvedRoomTuning; problems: OptionProblem[] } {
  const check = new Check(path);
  const retry = objectOf(input.retry, `${path}.retry`, check.problems);
  check.problems.push(...checkKeys(retry, ['maxAttempts', ...Object.keys(BACKOFF)], `${path}.retry`));
  const value: ResolvedRoomTuning = {
    sync: check.oneOf('sync', input.sync, [true, false], base?.sync),
    ack: check.oneOf('ack', input.ack, ['auto', 'manual'], base?.ack),
    ackTimeoutMs: check.number('ackTimeoutMs', input.ackTimeoutMs, base?.ackTimeoutMs ?? 30_000, 10, 86_400_000),
    onFailure: check.oneOf('onFailure', input.onFailure, ['nack-retry', 'eject', 'ack'], base?.onFailure),
    maxAttempts: check.number('retry.maxAttempts', retry.maxAttempts, base?.maxAttempts ?? 5, 1, 1_000_000),
    backoff: check.backoff('retry', retry, base?.backoff ?? BACKOFF),
    whenEjected: check.oneOf('whenEjected', input.whenEjected, ['rejoin', 'leave'], base?.whenEjected),
    maxQueued: check.number('maxQueued', input.maxQueued, base?.maxQueued ?? 1_000, 1, 1_000_000),
  };
  // The room itself waits for a process for as long as `fanout.ackTimeoutMs` says, and no single subscriber longer.
  if (base && value.ackTimeoutMs > base.ackTimeoutMs) check.report('ackTimeoutMs', `must be at most fanout.ackTimeoutMs, ${base.ackTimeoutMs}`, value.ackTimeoutMs);
  return { value, problems: check.problems };
}

/** Of one subscriber: no key but its tuning and `more`. */
export function resolveSubscriber(input: RoomTuning, base: ResolvedRoomTuning, path: string, more: readonly string[] = []): { value: ResolvedRoomTuning; problems: OptionProblem[] } {
  const { value, problems } = resolveRoomTuning(input, path, base);
  return { value, problems: [...checkKeys(input, [...TUNING, ...more], path), ...problems] };
}

export function resolveFanout(given?: FanoutOptions, path = 'fanout'): { value: ResolvedFanout; problems: OptionProblem[] } {
  const check = new Check(path);
  const input = objectOf(given, path, check.problems);
  const { value, problems } = resolveRoomTuning(input, path);
  check.problems.push(...checkKeys(input, [...TUNING, 'namespace', 'shards', 'whenEmpty', 'maxBacklog', 'delivery', 'maxRedeliveries'], path), ...problems);
  if (input.namespace !== undefined) check.problems.push(...checkPartName(input.namespace, `${path}.namespace`));
  const delivery = check.oneOf('delivery', input.delivery, ['at-least-once', 'at-most-once']);
  const maxRedeliveries = check.number('maxRedeliveries', input.maxRedeliveries, 3, 1, 1_000);
  return {
    value: {
      ...value,
      namespace: input.namespace,
      shards: check.number('shards', input.shards, 1, 1, 1_024),
      whenEmpty: check.oneOf('whenEmpty', input.whenEmpty, ['hold', 'pass']),
      maxBacklog: check.number('maxBacklog', input.maxBacklog, 10_000, 1, 10_000_000),
      maxRedeliveries: delivery === 'at-most-once' ? 0 : maxRedeliveries,
    },
    problems: check.problems,
  };
}
