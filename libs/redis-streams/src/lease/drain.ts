import { sleep } from '../redis/sleep.js';

/** Work under way, counted for a bounded wait at the end. A count and no set of promises: thousands may run for hours. */
export class Running {
  private count = 0;
  private idle: (() => void) | undefined;

  /** Every `begin` needs one `end`. */
  begin(): void {
    this.count++;
  }

  readonly end = (): void => {
    if (--this.count === 0) this.idle?.();
  };

  track(work: Promise<void>): void {
    this.begin();
    void work.finally(this.end);
  }

  /** Waits until nothing runs any more, or `ms` have passed. Work added meanwhile counts. @returns whether all ended. */
  async drained(ms: number): Promise<boolean> {
    const done = new AbortController();
    let late = false;
    const timeout = sleep(ms, done.signal).then(() => void (late = !done.signal.aborted));
    while (this.count > 0 && !late) {
      await Promise.race([new Promise<void>((resolve) => (this.idle = resolve)), timeout]);
    }
    done.abort();
    return this.count === 0;
  }
}
