import type { OptionProblem } from '../errors/index.js';
import type { ResolvedBackoff } from '../kernel/backoff.js';
import { describe } from './names.js';

const DAY_MS = 86_400_000;

/** Reads the options of one object: what is missing takes its default, and so does what is wrong, which is reported with its path. */
export class Check {
  readonly problems: OptionProblem[] = [];

  constructor(private readonly path: string) {}

  report(key: string, message: string, value: unknown): void {
    this.problems.push({ path: `${this.path}.${key}`, message: `${message} (got ${describe(value)})` });
  }

  number(key: string, value: unknown, fallback: number, min: number, max: number, integer = true): number {
    if (value === undefined) return fallback;
    if (typeof value === 'number' && value >= min && value <= max && (!integer || Number.isInteger(value))) return value;
    this.report(key, `must be a ${integer ? 'whole ' : ''}number from ${min} to ${max}`, value);
    return fallback;
  }

  /** The first choice is the default. */
  oneOf<const T extends string | boolean>(key: string, value: unknown, choices: readonly [T, ...T[]], fallback: T = choices[0]): T {
    if (value === undefined) return fallback;
    if (choices.includes(value as T)) return value as T;
    this.report(key, `must be ${choices.map((choice) => JSON.stringify(choice)).join(' or ')}`, value);
    return fallback;
  }

  /** The four parts of a delay that grows, found under `key`. Its upper bound is at least where it begins. */
  backoff(key: string, { initialMs: initial, factor, maxMs, jitter }: Partial<ResolvedBackoff>, defaults: ResolvedBackoff): ResolvedBackoff {
    const initialMs = this.number(`${key}.initialMs`, initial, defaults.initialMs, 0, DAY_MS, false);
    return {
      initialMs,
      factor: this.number(`${key}.factor`, factor, defaults.factor, 1, 100, false),
      maxMs: this.number(`${key}.maxMs`, maxMs, Math.max(defaults.maxMs, initialMs), initialMs, DAY_MS, false),
      jitter: this.number(`${key}.jitter`, jitter, defaults.jitter, 0, 1, false),
    };
  }

  /** The name of a connection; default: `default`. */
  connection(value: string | undefined, configured: readonly string[]): string {
    const name = value ?? 'default';
    if (!configured.includes(name)) this.report('connection', `must be one of the configured connections: ${configured.join(', ')}`, name);
    return name;
  }
}

/** Options that hold others: a number, a text or a list in their place would pass for none. */
export function objectOf<T extends object>(given: T | undefined, path: string, problems: OptionProblem[]): T {
  if (typeof given === 'object' && given !== null && !(Symbol.iterator in given)) return given;
  if (given !== undefined) problems.push({ path, message: `must be an object (got ${describe(given)})` });
  return {} as T;
}

/** What may be sent as headers. What shows no names of its own, such as a Map, would get lost. */
export function isHeaders(headers: unknown): headers is Readonly<Record<string, string>> {
  return typeof headers === 'object' && headers !== null && !(Symbol.iterator in headers) && Object.values(headers).every((value) => typeof value === 'string');
}
