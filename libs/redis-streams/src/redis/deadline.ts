/**
 * Settles with `work`, or rejects with `onExpiry()` after `ms`. The timer never outlives either.
 *
 * After a stall of this process the timer is late and fires before the event loop has read its sockets, where the
 * answer may be waiting. So the verdict falls one turn later, after the reading.
 */
export function withDeadline<T>(work: Promise<T>, ms: number, onExpiry: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let settled = false;
    const timer = setTimeout(() => setImmediate(() => settled || reject(onExpiry())), ms);
    const settle = (): void => {
      settled = true;
      clearTimeout(timer);
    };
    work.then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}

interface Awaited {
  readonly at: number;
  readonly expire: () => void;
}

/**
 * As `withDeadline`, for many pieces of work of one and the same deadline, one timer for all: made and ended for every command, timers cost more
 * than all else of waiting for it. The timer is looked at when the oldest may be late, and keeps the process only while something is waited for.
 */
export class Deadlines {
  /** Rises with whatever is done in time. */
  progress = 0;
  private readonly waiting = new Set<Awaited>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly ms: number) {}

  watch<T>(work: Promise<T>, onExpiry: () => Error): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const entry: Awaited = { at: performance.now() + this.ms, expire: () => reject(onExpiry()) };
      this.add(entry);
      work.then(
        (value) => {
          this.progress++;
          this.remove(entry);
          resolve(value);
        },
        (error: unknown) => {
          this.remove(entry);
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }

  private add(entry: Awaited): void {
    this.waiting.add(entry);
    if (this.waiting.size > 1) return;
    if (this.timer) this.timer.ref();
    else this.arm(this.ms);
  }

  private remove(entry: Awaited): void {
    if (this.waiting.delete(entry) && this.waiting.size === 0) this.timer?.unref();
  }

  private arm(ms: number): void {
    // Who is told that something was late may have begun something, which has set the timer.
    clearTimeout(this.timer);
    // One turn after the timer, as above.
    this.timer = setTimeout(() => setImmediate(() => this.look()), ms);
  }

  private look(): void {
    this.timer = undefined;
    const now = performance.now();
    // Oldest first.
    for (const entry of this.waiting) {
      if (entry.at > now) return this.arm(Math.ceil(entry.at - now));
      this.waiting.delete(entry);
      entry.expire();
    }
  }
}
