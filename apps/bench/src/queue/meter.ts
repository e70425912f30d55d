import { FIRST_NUMBER, type Payment } from '../payload.js';
import { sharedNow } from '../support/clock.js';

const PATIENCE_MS = 60_000;

export interface Consumed {
  readonly firstAt: number;
  /** When all was handled *and* is gone from the server. */
  readonly endAt: number;
  readonly cpuUs: number;
}

/** The handler of every contender: it counts, and adds up numbers, so that one handled twice in another's place shows. */
export class QueueMeter {
  private count = 0;
  private sum = 0;
  private expected = Infinity;
  private firstAt = 0;
  private reached: () => void = () => undefined;
  private cpu = process.cpuUsage();

  constructor(private readonly settled: () => Promise<void>) {}

  /** Resolves when so many messages from now on, numbered one after the other, are handled and settled. The process ends when that takes a minute. */
  async expect(count: number): Promise<Consumed> {
    const all = new Promise<void>((resolve) => (this.reached = resolve));
    this.count = this.sum = this.firstAt = 0;
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
    if (this.sum !== (count * (count - 1)) / 2) throw new Error('some messages were handled twice, others never');
    return { firstAt: this.firstAt, endAt: sharedNow(), cpuUs: user + system };
  }

  /** What it took to begin is not counted. */
  begin(): void {
    this.cpu = process.cpuUsage();
  }

  see({ n }: Payment): void {
    if (this.count === 0) this.firstAt = sharedNow();
    this.sum += n - FIRST_NUMBER;
    if (++this.count === this.expected) this.reached();
  }
}
