import { FIRST_NUMBER, type Payment } from '../payload.js';
import { sharedNow } from '../support/clock.js';

/** When nothing has come for so long after the last was sent, what is missing is lost. */
const QUIET_MS = 1_000;
const LOOK_MS = 2;

export interface Handled {
  readonly count: number;
  /** Whether each was handled once. */
  readonly exact: boolean;
  /** When the last one was handled. */
  readonly lastAt: number;
  readonly cpuUs: number;
}

/** The handler of every contender: it counts, and adds up numbers, so that one handled twice in another's place shows. */
export class Tally {
  private count = 0;
  private sum = 0;
  private expected = Infinity;
  private lastAt = 0;
  private cpu = process.cpuUsage();

  expect(count: number): void {
    this.count = this.sum = this.lastAt = 0;
    this.expected = count;
    this.cpu = process.cpuUsage();
  }

  see({ n }: Payment): void {
    this.sum += n - FIRST_NUMBER;
    if (++this.count === this.expected) this.lastAt = sharedNow();
  }

  /** To be asked when all are sent: waits for those that are under way. */
  async outcome(): Promise<Handled> {
    let seen = this.count;
    let seenAt = sharedNow();
    while (this.count < this.expected && sharedNow() - seenAt < QUIET_MS) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      if (this.count === seen) continue;
      seen = this.count;
      seenAt = sharedNow();
    }
    const { user, system } = process.cpuUsage(this.cpu);
    const exact = this.count === this.expected && this.sum === (this.count * (this.count - 1)) / 2;
    return { count: this.count, exact, lastAt: this.lastAt || seenAt, cpuUs: user + system };
  }
}
