import { givenDelay } from '../handling/outcome.js';
import { backoffDelay, type ResolvedBackoff } from '../kernel/backoff.js';
import type { PartitionWindow, WindowEntry } from '../kernel/partition-window.js';
import { Timers } from '../redis/timers.js';

/**
 * Messages that wait for their next attempt: because they have failed here, or because an owner before this one has given
 * them a delay that is not over. The window knows until when, and with it every commit: so a delay goes on where it was when
 * the partition moves.
 */
export class Delays<T> {
  private readonly timers = new Timers();

  constructor(
    private readonly window: PartitionWindow<T>,
    private readonly backoff: ResolvedBackoff,
    private readonly over: () => void,
  ) {}

  /** It has failed. @returns its delay: the one its handler has asked for, or the backoff */
  begin(entry: WindowEntry<T>, givenMs: number | undefined): number {
    const first = this.window.failed(entry);
    const ms = givenDelay(givenMs) ?? backoffDelay(this.backoff, entry.failures, Math.random());
    if (first) {
      this.window.delay(entry, performance.now() + ms);
      this.wait(entry, ms);
    }
    return ms;
  }

  /** @returns whether it goes back, because its time has not come; it runs when it has */
  keeps(entry: WindowEntry<T>): boolean {
    if (entry.until === 0) return false;
    const ms = entry.until - performance.now();
    if (ms <= 0) return false;
    if (this.window.putBack(entry)) this.wait(entry, ms);
    return true;
  }

  /** Nobody waits any more. */
  clear(): void {
    this.timers.clear();
  }

  private wait(entry: WindowEntry<T>, ms: number): void {
    this.timers.in(ms, () => (this.window.retry(entry), this.over()));
  }
}
