import type { OptionProblem } from '../errors/index.js';
import { DEFAULT_BACKOFF, type ResolvedBackoff } from '../kernel/backoff.js';
import { checkKeys, checkServiceName, describe } from '../keys/names.js';
import type { LeaseConsumerOptions, LeaseTuning } from '../options.js';

export interface ResolvedLeaseTuning {
  readonly maxLeases: number;
  readonly claim: 'auto' | 'manual';
  readonly settle: 'auto' | 'manual';
  readonly maxAttempts: number;
  readonly maxTakeovers: number;
  readonly backoff: ResolvedBackoff;
  readonly handOver: boolean;
  readonly maxAnnouncementBytes: number;
  readonly maxDepth: number;
}

export interface ResolvedLeaseOptions extends ResolvedLeaseTuning {
  readonly service: string;
  readonly connection: string;
}

const KNOWN = new Set(['maxLeases', 'claim', 'settle', 'maxAttempts', 'maxTakeovers', 'backoff', 'handOver', 'maxAnnouncementBytes', 'maxDepth']);

/** Applies defaults and reports every problem with its path. `base` holds already resolved defaults. */
export function resolveLeaseTuning(input: LeaseTuning, path: string, base?: ResolvedLeaseTuning): { value: ResolvedLeaseTuning; problems: OptionProblem[] } {
  const problems: OptionProblem[] = [];
  const report = (key: string, message: string, value: unknown): void => void problems.push({ path: `${path}.${key}`, message: `${message} (got ${describe(value)})` });
  const number = (key: string, value: unknown, fallback: number, min: number, max: number, integer = true): number => {
    if (value === undefined) return fallback;
    if (typeof value !== 'number' || value < min || value > max || Number.isNaN(value) || (integer && !Number.isInteger(value))) {
      report(key, `must be ${integer ? 'a whole number' : 'a number'} from ${min} to ${max}`, value);
      return fallback;
    }
    return value;
  };
  const choice = <T extends string | boolean>(key: string, value: unknown, fallback: T, allowed: readonly T[]): T => {
    if (value === undefined) return fallback;
    if (allowed.includes(value as T)) return value as T;
    report(key, `must be ${allowed.map((a) => JSON.stringify(a)).join(' or ')}`, value);
    return fallback;
  };
  for (const key of Object.keys(input)) {
    if (!KNOWN.has(key) && key !== 'service' && key !== 'connection') problems.push({ path: `${path}.${key}`, message: `is not an option; known: ${[...KNOWN].join(', ')}` });
  }
  const backoff = input.backoff ?? {};
  const defaults = base?.backoff ?? DEFAULT_BACKOFF;
  problems.push(...checkKeys(backoff, Object.keys(DEFAULT_BACKOFF), `${path}.backoff`));
  const initialMs = number('backoff.initialMs', backoff.initialMs, defaults.initialMs, 0, 86_400_000, false);
  const value: ResolvedLeaseTuning = {
    maxLeases: number('maxLeases', input.maxLeases, base?.maxLeases ?? 10_000, 1, 1_000_000),
    claim: choice('claim', input.claim, base?.claim ?? 'auto', ['auto', 'manual'] as const),
    settle: choice('settle', input.settle, base?.settle ?? 'auto', ['auto', 'manual'] as const),
    maxAttempts: number('maxAttempts', input.maxAttempts, base?.maxAttempts ?? 5, 1, 1_000_000),
    maxTakeovers: number('maxTakeovers', input.maxTakeovers, base?.maxTakeovers ?? 0, 0, 1_000_000),
    handOver: choice<boolean>('handOver', input.handOver, base?.handOver ?? false, [true, false]),
    maxAnnouncementBytes: number('maxAnnouncementBytes', input.maxAnnouncementBytes, base?.maxAnnouncementBytes ?? 262_144, 64, 16_777_216),
    maxDepth: number('maxDepth', input.maxDepth, base?.maxDepth ?? 64, 2, 500),
    backoff: {
      initialMs,
      factor: number('backoff.factor', backoff.factor, defaults.factor, 1, 100, false),
      maxMs: number('backoff.maxMs', backoff.maxMs, Math.max(defaults.maxMs, initialMs), initialMs, 86_400_000, false),
      jitter: number('backoff.jitter', backoff.jitter, defaults.jitter, 0, 1, false),
    },
  };
  return { value, problems };
}

export function resolveLeaseOptions(
  input: LeaseConsumerOptions,
  base: ResolvedLeaseTuning,
  connections: readonly string[],
  path: string,
): { value: ResolvedLeaseOptions; problems: OptionProblem[] } {
  const { value, problems } = resolveLeaseTuning(input, path, base);
  const connection = input.connection ?? 'default';
  const all = [...checkServiceName(input.service, `${path}.service`), ...problems];
  if (!connections.includes(connection)) {
    all.push({ path: `${path}.connection`, message: `must be one of the configured connections: ${connections.join(', ')} (got ${describe(connection)})` });
  }
  return { value: { ...value, service: input.service, connection }, problems: all };
}
