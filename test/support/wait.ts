import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

export interface WaitOptions {
  timeoutMs?: number;
  intervalMs?: number;
  /** The condition in words: "three consumers are members of the group". */
  what: string;
}

/**
 * Waits until `fn` gives a truthy value and returns it. A throw of `fn` counts as "not yet": what is waited
 * for is often that something answers at all. The error names the condition, and the last value or throw.
 */
export async function waitUntil<T>(
  fn: () => T | Promise<T>,
  { timeoutMs = 20_000, intervalMs = 10, what }: WaitOptions,
): Promise<Exclude<T, undefined | null | false | 0 | ''>> {
  const startedAt = performance.now();
  let last = 'never evaluated to the end';
  let cause: unknown;
  for (;;) {
    const remainingMs = timeoutMs - (performance.now() - startedAt);
    if (remainingMs <= 0) {
      throw new Error(`Waited ${timeoutMs} ms in vain until ${what}; last: ${last}`, { cause });
    }
    try {
      // `fn` itself may hang (a black-holed command), so it is raced against the deadline.
      const outcome = await within(Promise.resolve(fn()), remainingMs);
      if (outcome === undefined) continue;
      if (outcome.value) return outcome.value as Exclude<T, undefined | null | false | 0 | ''>;
      last = inspect(outcome.value, { depth: 4, breakLength: Infinity });
      cause = undefined;
    } catch (error) {
      last = error instanceof Error ? `threw ${error.name}: ${error.message}` : `threw ${inspect(error)}`;
      cause = error;
    }
    await sleep(intervalMs);
  }
}

async function within<T>(promise: Promise<T>, ms: number): Promise<{ value: T } | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => { timer = setTimeout(() => resolve(undefined), ms); });
  try {
    return await Promise.race([promise.then((value) => ({ value })), late]);
  } finally {
    clearTimeout(timer);
  }
}
