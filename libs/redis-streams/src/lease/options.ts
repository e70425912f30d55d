import type { OptionProblem } from '../errors/index.js';
import { DEFAULT_BACKOFF, type ResolvedBackoff } from '../kernel/backoff.js';
import { Check } from '../keys/check.js';
import { checkKeys, checkServiceName } from '../keys/names.js';
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
  const check = new Check(path);
  for (const key of Object.keys(input)) {
    if (!KNOWN.has(key) && key !== 'service' && key !== 'connection') check.problems.push({ path: `${path}.${key}`, message: `is not an option; known: ${[...KNOWN].join(', ')}` });
  }
  const backoff = input.backoff ?? {};
  check.problems.push(...checkKeys(backoff, Object.keys(DEFAULT_BACKOFF), `${path}.backoff`));
  const value: ResolvedLeaseTuning = {
    maxLeases: check.number('maxLeases', input.maxLeases, base?.maxLeases ?? 10_000, 1, 1_000_000),
    claim: check.oneOf('claim', input.claim, ['auto', 'manual'], base?.claim),
    settle: check.oneOf('settle', input.settle, ['auto', 'manual'], base?.settle),
    maxAttempts: check.number('maxAttempts', input.maxAttempts, base?.maxAttempts ?? 5, 1, 1_000_000),
    maxTakeovers: check.number('maxTakeovers', input.maxTakeovers, base?.maxTakeovers ?? 0, 0, 1_000_000),
    handOver: check.oneOf<boolean>('handOver', input.handOver, [true, false], base?.handOver ?? false),
    maxAnnouncementBytes: check.number('maxAnnouncementBytes', input.maxAnnouncementBytes, base?.maxAnnouncementBytes ?? 262_144, 64, 16_777_216),
    maxDepth: check.number('maxDepth', input.maxDepth, base?.maxDepth ?? 64, 2, 500),
    backoff: check.backoff('backoff', backoff, base?.backoff ?? DEFAULT_BACKOFF),
  };
  return { value, problems: check.problems };
}

export function resolveLeaseOptions(
  input: LeaseConsumerOptions,
  base: ResolvedLeaseTuning,
  connections: readonly string[],
  path: string,
): { value: ResolvedLeaseOptions; problems: OptionProblem[] } {
  const { value, problems } = resolveLeaseTuning(input, path, base);
  const check = new Check(path);
  const connection = check.connection(input.connection, connections);
  return { value: { ...value, service: input.service, connection }, problems: [...checkServiceName(input.service, `${path}.service`), ...problems, ...check.problems] };
}
