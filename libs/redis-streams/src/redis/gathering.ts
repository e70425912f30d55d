import { sleep } from './sleep.js';

const WAIT_MS = 10;

/**
 * Results of work that began together: those that end within 10 ms of each other are handled in one call, one that takes
 * longer gets a call of its own and keeps none waiting.
 */
export class Gathering<T> {
  private batch: T[] = [];
  private call: Promise<void> | undefined;
  private full = new AbortController();

  constructor(
    private readonly handle: (batch: readonly T[]) => Promise<void>,
    private missing: number,
  ) {}

  /** One has ended; undefined: with nothing to handle. Resolves when the call that handles it has ended. */
  async add(item: T | undefined): Promise<void> {
    this.missing--;
    if (item !== undefined) this.batch.push(item);
    if (this.missing === 0) this.full.abort();
    if (item !== undefined) await (this.call ??= this.collect());
  }

  private async collect(): Promise<void> {
    await sleep(WAIT_MS, this.full.signal);
    const { batch } = this;
    this.batch = [];
    this.call = undefined;
    await this.handle(batch);
  }
}
