const WINDOW_MS = 100;
/** Windows of work that may be held: a second's. */
const MOST = 10;

/**
 * How many messages a consumer holds at once. Large batches cost each message less, but what is held here waits for this
 * process, and for its deadline should it die. So: few for a slow consumer, and for a fast one up to a tenth of a second's
 * work; more when it runs out of work before the next batch is here, which takes long over a long way; never more than a
 * second's.
 */
export class ReadAhead {
  private limit: number;
  private from: number;
  private count = 0;

  constructor(
    private readonly min: number,
    private readonly max: number,
    now: number,
  ) {
    this.limit = min;
    this.from = now;
  }

  /** Messages it may hold at present. */
  get size(): number {
    return this.limit;
  }

  /** Everything was handled before more came, and there was more. */
  ranDry(): void {
    this.limit = Math.min(this.max, this.limit * 2);
  }

  /** So many more are through. */
  handled(count: number, now: number): void {
    this.count += count;
    const passed = now - this.from;
    if (passed < WINDOW_MS) return;
    const work = (this.count * WINDOW_MS) / passed;
    if (this.limit < work) this.limit = Math.min(this.max, this.limit * 2);
    else if (this.limit > work * MOST) this.limit = Math.max(this.min, Math.floor(work * MOST));
    this.count = 0;
    this.from = now;
  }
}
