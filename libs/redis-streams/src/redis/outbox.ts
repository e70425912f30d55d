import { BackpressureError, ClosedError } from '../errors/index.js';

const MAX_BATCH = 512;
const MAX_BATCH_BYTES = 1_048_576;
const MAX_PENDING = 100_000;
const MAX_PENDING_BYTES = 67_108_864;
/** The next one is on its way while the server works on this one. */
const UNDER_WAY = 2;

/** Something to be sent, and who waits for it: one object, since producers make them by the hundred thousand. */
export interface Waiting<R> {
  /** In bytes, about. Not asked any more once it is on its way. */
  readonly size: number;
  resolve: (result: R) => void;
  reject: (error: unknown) => void;
}

/** Items that are sent at once, in the order they were given. */
export class Batch<I> {
  readonly items: I[] = [];
  bytes = 0;
  /** When its first item was given: what waits behind a batch that fails does not wait as long again. */
  readonly since = performance.now();
}

/** How much may wait, in one outbox or in several together. */
export class Budget {
  private items = 0;
  private bytes = 0;

  constructor(
    private readonly maxItems = MAX_PENDING,
    private readonly maxBytes = MAX_PENDING_BYTES,
  ) {}

  /** What is larger than all that may wait is admitted when nothing else does. */
  admits(size: number): boolean {
    return this.items < this.maxItems && (this.items === 0 || this.bytes + size <= this.maxBytes);
  }

  take(size: number): void {
    this.items++;
    this.bytes += size;
  }

  release(items: number, bytes: number): void {
    this.items -= items;
    this.bytes -= bytes;
  }

  toString(): string {
    return `${this.maxItems} items or ${this.maxBytes} bytes`;
  }
}

export interface OutboxOptions {
  /** Shared with others; default: one of its own, of 100,000 items and 64 MiB. */
  readonly budget?: Budget;
  /** What is under way counts as well until it has settled. Default: only what waits. */
  readonly countUnderWay?: boolean;
  /** Items of a batch. Default 512. */
  readonly maxBatch?: number;
  /** Default 1 MiB. */
  readonly maxBatchBytes?: number;
}

/**
 * What a producer has yet to send to one shard. A lone item goes out at once; while a batch is under way the next one
 * grows, and a second is under way only when it is full: so batches grow exactly when the server is the slower side.
 * Much like the Batcher, but its items know who waits for them, and batches are never copied: at this rate what is made for
 * each item, and what dies old, is most of the cost.
 */
export class Outbox<I extends Waiting<R>, R> {
  private growing: Batch<I> | undefined;
  private full: Array<Batch<I>> = [];
  private underWay = 0;
  private starting = false;
  private idle: Array<() => void> = [];
  private closed = false;
  private readonly budget: Budget;
  private readonly countUnderWay: boolean;
  private readonly maxBatch: number;
  private readonly maxBatchBytes: number;

  constructor(
    private readonly what: string,
    /** Settles every item of the batch, then resolves. */
    private readonly send: (batch: Batch<I>) => Promise<void>,
    { budget = new Budget(), countUnderWay = false, maxBatch = MAX_BATCH, maxBatchBytes = MAX_BATCH_BYTES }: OutboxOptions = {},
  ) {
    this.budget = budget;
    this.countUnderWay = countUnderWay;
    this.maxBatch = maxBatch;
    this.maxBatchBytes = maxBatchBytes;
  }

  /** Resolves when it is sent. @throws BackpressureError | ClosedError | what it was rejected with */
  add(item: I): Promise<R> {
    const { size } = item;
    if (this.closed) return Promise.reject(new ClosedError(this.what));
    if (!this.budget.admits(size)) return Promise.reject(new BackpressureError(this.what, String(this.budget)));
    this.budget.take(size);
    const sent = new Promise<R>((resolve, reject) => {
      item.resolve = resolve;
      item.reject = reject;
    });
    this.put(item, size);
    return sent;
  }

  /** As `add`, for whoever waits by the item's own `resolve` and `reject`, without a promise. */
  post(item: I): void {
    const { size } = item;
    if (this.closed) return item.reject(new ClosedError(this.what));
    if (!this.budget.admits(size)) return item.reject(new BackpressureError(this.what, String(this.budget)));
    this.budget.take(size);
    this.put(item, size);
  }

  /** Takes over an item that the budget counts already, and that somebody waits for. */
  adopt(item: I): void {
    this.put(item, item.size);
  }

  /** Resolves when everything added so far has settled. */
  flush(): Promise<void> {
    return this.isIdle ? Promise.resolve() : new Promise((resolve) => this.idle.push(resolve));
  }

  /** Refuses new items, then flushes. */
  async close(): Promise<void> {
    this.closed = true;
    await this.flush();
  }

  /** Rejects what waits; what is under way goes on. @returns how many */
  abandon(error: Error): number {
    this.closed = true;
    const batches = this.growing ? [...this.full, this.growing] : this.full;
    this.full = [];
    this.growing = undefined;
    let count = 0;
    for (const { items, bytes } of batches) {
      this.budget.release(items.length, bytes);
      count += items.length;
      for (const item of items) item.reject(error);
    }
    this.wakeIfIdle();
    return count;
  }

  private get isIdle(): boolean {
    return this.underWay === 0 && !this.growing && this.full.length === 0;
  }

  private put(item: I, size: number): void {
    let batch = this.growing;
    if (batch && batch.bytes + size > this.maxBatchBytes) batch = this.seal(batch);
    batch ??= this.growing = new Batch();
    batch.items.push(item);
    batch.bytes += size;
    if (batch.items.length === this.maxBatch || batch.bytes >= this.maxBatchBytes) this.seal(batch);
    if (this.underWay === 0) this.startSoon();
    else if (this.full.length > 0) this.start();
  }

  private seal(batch: Batch<I>): undefined {
    this.full.push(batch);
    this.growing = undefined;
  }

  /** One turn later, so that everything added in this turn shares the batch. */
  private startSoon(): void {
    if (this.starting) return;
    this.starting = true;
    queueMicrotask(() => {
      this.starting = false;
      this.start();
    });
  }

  private start(): void {
    while (this.underWay < UNDER_WAY) {
      let batch = this.full.shift();
      if (!batch) {
        if (this.underWay > 0 || !this.growing) return;
        batch = this.growing;
        this.growing = undefined;
      }
      const { items, bytes } = batch;
      const count = items.length;
      if (!this.countUnderWay) this.budget.release(count, bytes);
      this.underWay++;
      void this.send(batch).then(() => {
        if (this.countUnderWay) this.budget.release(count, bytes);
        this.ended();
      });
    }
  }

  private ended(): void {
    this.underWay--;
    this.start();
    this.wakeIfIdle();
  }

  private wakeIfIdle(): void {
    if (!this.isIdle) return;
    const { idle } = this;
    this.idle = [];
    for (const resolve of idle) resolve();
  }
}
