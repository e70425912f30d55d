import type { BackoffOptions } from '../options.js';

export type ResolvedBackoff = Required<BackoffOptions>;

export const DEFAULT_BACKOFF: ResolvedBackoff = { initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 };

/**
 * Delay in whole milliseconds before the try after failure number `failures` (1 = the first).
 * `random` in [0, 1) spreads consumers that failed together, so they do not come back together.
 */
export function backoffDelay(backoff: ResolvedBackoff, failures: number, random: number): number {
  const exponent = Math.min(Math.max(failures, 1) - 1, 64);
  const full = Math.min(backoff.maxMs, backoff.initialMs * backoff.factor ** exponent);
  return Math.round(full * (1 - backoff.jitter * random));
}
