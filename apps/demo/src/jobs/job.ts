/** One job. They are numbered 1, 2, 3, ... in the order in which they were sent. */
export interface Job {
  readonly n: number;
}

/** The queue; the namespace is the run's. */
export const JOBS = 'jobs';
export const SHARDS = 4;
/** Jobs a processor holds, which others get again when it dies. */
export const PREFETCH = 512;
export const CONCURRENCY = 128;
export const MAX_ATTEMPTS = 3;

/** So many jobs lie between two that fail at first. */
const FLAKY_EVERY = 2_500;
const FLAKY_AT = 100;
/** The one that fails for ever. */
const HOPELESS = 777;

export function isHopeless(n: number): boolean {
  return n === HOPELESS;
}

/** Whether this job fails at this attempt. */
export function fails(n: number, attempt: number): boolean {
  return isHopeless(n) || (n % FLAKY_EVERY === FLAKY_AT && attempt < MAX_ATTEMPTS);
}

/** How many jobs of the first `sent` fail at first and are done in the end. */
export function flakyAmong(sent: number): number {
  return sent < FLAKY_AT ? 0 : Math.floor((sent - FLAKY_AT) / FLAKY_EVERY) + 1;
}
