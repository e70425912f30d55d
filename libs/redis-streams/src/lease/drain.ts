import { sleep } from '../redis/sleep.js';

/** Waits until nothing runs any more, or `ms` have passed. Work added meanwhile counts. @returns whether all ended. */
export async function drain(running: ReadonlySet<Promise<void>>, ms: number): Promise<boolean> {
  const deadline = new AbortController();
  const timeout = sleep(ms, deadline.signal);
  let late = false;
  void timeout.then(() => (late = !deadline.signal.aborted));
  while (running.size > 0 && !late) await Promise.race([Promise.allSettled([...running]), timeout]);
  deadline.abort();
  return running.size === 0;
}
