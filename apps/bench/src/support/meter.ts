import type { Payment } from '../payload.js';
import { sharedNow } from './clock.js';

const PATIENCE_MS = 60_000;

export interface Consumed {
  readonly firstAt: number;
  /** When all was handled *and* acknowledged or committed. */
  readonly endAt: number;
  readonly cpuUs: number;
  /** Messages that came before an earlier one of their account, or twice. */
  readonly inversions: number;
}

/** The handler of every contender: it counts, and checks the order of each account. */
export class Meter {
  private count = 0;
  private expected = Infinity;
  private firstAt = 0;
  private inversions = 0;
  private last = new Map<number, number>();
  private reached: () => void = () => undefined;
  private cpu = process.cpuUsage();

  constructor(private readonly settled: () => Promise<void>) {}

  /** Resolves when `count` messages from now on are handled and settled. The process ends when that takes a minute. */
  async expect(count: number): Promise<Consumed> {
    const all = new Promise<void>((resolve) => (this.reached = resolve));
    this.count = this.firstAt = this.inversions = 0;
    this.last = new Map();
    this.expected = count;
    this.cpu = process.cpuUsage();
    const timer = setTimeout(() => {
      throw new Error(`${this.count} of ${count} messages handled in ${PATIENCE_MS} ms`);
    }, PATIENCE_MS);
    await all;
    await this.settled();
    clearTimeout(timer);
    const { user, system } = process.cpuUsage(this.cpu);
    if (this.count !== count) throw new Error(`${this.count} messages handled, ${count} were sent`);
    return { firstAt: this.firstAt, endAt: sharedNow(), cpuUs: user + system, inversions: this.inversions };
  }

  /** What it took to begin is not counted. */
  begin(): void {
    this.cpu = process.cpuUsage();
  }

  see({ account, n }: Payment): void {
    if (this.count === 0) this.firstAt = sharedNow();
    if (n <= (this.last.get(account) ?? 0)) this.inversions++;
    this.last.set(account, n);
    if (++this.count === this.expected) this.reached();
  }
}
