import { FencedError, toError } from '../errors/index.js';
import { sleep } from '../redis/sleep.js';
import type { HeldLease } from './held-lease.js';

const FIRST_MS = 1_000;
const MOST_MS = 10_000;

/**
 * Asks for an end that has been decided until it is accepted, or the lease is over: no handler runs on it any more, so
 * nobody else would. What passes is waited out below; what comes here is lasting (`WRONGTYPE`, `NOPERM`), until a hand
 * mends it. Told once. Never rejects.
 */
export async function insist(lease: HeldLease, end: () => Promise<void>, trouble: (error: Error) => void): Promise<void> {
  for (let ms = FIRST_MS; lease.isOpen; ms = Math.min(MOST_MS, ms * 2)) {
    try {
      return await end();
    } catch (thrown) {
      const error = toError(thrown);
      if (ms === FIRST_MS && !(error instanceof FencedError)) trouble(error);
    }
    if (lease.isOpen) await pause(lease, ms * (0.75 + Math.random() * 0.25));
  }
}

/** Cut short when the lease is asked back or lost; from then on it is short anyway, for a stop waits for it. */
async function pause(lease: HeldLease, ms: number): Promise<void> {
  if (lease.abortReason) return sleep(FIRST_MS / 2);
  const woken = new AbortController();
  const off = lease.onAbort(() => woken.abort());
  await sleep(ms, woken.signal);
  off();
}
