import { isTransient } from '../kernel/server-errors.js';
import { sleep } from './sleep.js';

const PATIENCE_MS = 15_000;
const LOOK_MS = 200;

/** Repeats what may be repeated while the server is away: at the start of an application it may come up a moment later. */
export async function patiently<T>(call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isTransient(error) || performance.now() > until || signal?.aborted) throw error;
      await sleep(LOOK_MS, signal);
    }
  }
}
