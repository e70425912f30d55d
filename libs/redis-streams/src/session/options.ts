import type { OptionProblem } from '../errors/index.js';
import { checkKeys, describe } from '../keys/names.js';
import type { SessionOptions } from '../options.js';

export type ResolvedSession = Required<SessionOptions>;

export function resolveSessionOptions(input: SessionOptions = {}, path = 'session'): { value: ResolvedSession; problems: OptionProblem[] } {
  const problems: OptionProblem[] = checkKeys(input, ['ttlMs', 'heartbeatMs', 'marginMs'], path);
  const number = (key: keyof SessionOptions, fallback: number, min: number, max: number, hint: string): number => {
    const value = input[key] ?? fallback;
    if (typeof value !== 'number' || !Number.isFinite(value) || value < min || value > max) {
      problems.push({ path: `${path}.${key}`, message: `must be a number of milliseconds from ${min} to ${max}${hint} (got ${describe(value)})` });
      return fallback;
    }
    return value;
  };
  const ttlMs = number('ttlMs', 10_000, 200, 3_600_000, '');
  const heartbeatMs = number('heartbeatMs', Math.floor(ttlMs / 3), 20, Math.floor(ttlMs / 2), ', at most half of ttlMs, so that one lost heartbeat costs nothing');
  const marginMs = number('marginMs', Math.max(10, Math.round(ttlMs * 0.05)), 1, Math.floor(ttlMs / 4), ', at most a quarter of ttlMs');
  return { value: { ttlMs, heartbeatMs, marginMs }, problems };
}
