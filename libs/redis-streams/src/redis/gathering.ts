import { sleep } from './sleep.js';

const WAIT_MS = 3;

/**
 * Results of work that began together: those that end within 3 ms of each other are handled in one call, one that takes
 * longer gets a later call and keeps none waiting. One call at a time: what ends during one shares the next.
 */
export class Gathering<T> {
  private batch: T[] = [];
  private next: Promise<void> | undefined;
  private handling: Promise<void> = Promise.resolve();
  private readonly full = new AbortController();

  constructor(
    private readonly handle: (batch: readonly T[]) => Promise<void>,
    private missing: number,
  ) {}

  /** One has ended; undefined: with nothing to handle. Resolves when the call that handles it has ended. */
  async add(item: T | undefined): Promise<void> {
    this.missing--;
    if (item !== undefined) this.batch.push(item);
    if (this.missing === 0) this.full.abort();
    if (item !== undefined) await (this.next ??= this.collect());
  }

  private async collect(): Promise<void> {
    await sleep(WAIT_MS, this.full.signal);
    await this.handling;
    const { batch } = this;
    this.batch = [];
    this.next = undefined;
    await (this.handling = this.handle(batch));
  }
}
