import { BackpressureError, ClosedError } from '../errors/index.js';
import { Failed, type Settle } from './settle.js';

const MAX_BATCH = 512;
const MAX_BATCH_BYTES = 1_048_576;
const MAX_PENDING = 100_000;
const MAX_PENDING_BYTES = 67_108_864;
/** One is being answered, one is the server's, and one on its way: with two, all three processes of a busy machine wait for each other's turns. */
const UNDER_WAY = 3;
const SOON = Promise.resolve();

/** Something to be sent. */
export interface Sized {
  /** In bytes, about. */
  readonly size: number;
}

/** What is sent of the items of a batch, as it grows. */
export interface Content<I> {
  add(item: I): void;
}

/** Items that are sent at once, in the order they were given. What is kept of each is who waits for it. */
export class Batch<C, R> {
  bytes = 0;
  private readonly waiting: Array<Settle<R>> = [];
  private readonly places: number[] = [];
  /** When its first item was given: what waits behind a batch that fails does not wait as long again. */
  readonly since = performance.now();

  constructor(readonly content: C) {}

  /** Its items. */
  get count(): number {
    return this.waiting.length;
  }

  add(settle: Settle<R>, place: number): void {
    this.waiting.push(settle);
    this.places.push(place);
  }

  /** Tells who waits for its item `i`. */
  settle(i: number, result: R | Failed): void {
    this.waiting[i]!(result, this.places[i]!);
  }

  fail(error: unknown): void {
    const failed = new Failed(error);
    for (let i = 0; i < this.count; i++) this.settle(i, failed);
  }
}

/** How much may wait, in one outbox or in several together. */
export class Budget {
  private items = 0;
  private bytes = 0;

  constructor(
    private readonly maxItems = MAX_PENDING,
    private readonly maxBytes = MAX_PENDING_BYTES,
    /** Something was released. */
    private readonly freed: () => void = () => undefined,
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
    this.freed();
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
  /** For so long a batch that is not full waits for more, from its first item on. Default 0. */
  readonly lingerMs?: number;
}

/**
 * What a producer has yet to send to one shard. A lone item goes out at once; while a batch is under way the next one
 * grows, and others are under way besides only when they are full: so batches grow exactly when the server is the slower side.
 * Much like the Batcher, but an item is written down when it comes, and batches are never copied: at this rate what is made
 * for each item, and what dies old, is most of the cost.
 */
export class Outbox<I extends Sized, R, C extends Content<I>> {
  private growing: Batch<C, R> | undefined;
  private full: Array<Batch<C, R>> = [];
  private underWay = 0;
  private starting = false;
  private idle: Array<() => void> = [];
  private closed = false;
  /** Somebody waits for all of it. */
  private hurried = false;
  private lingering: NodeJS.Timeout | undefined;
  private readonly budget: Budget;
  private readonly countUnderWay: boolean;
  private readonly maxBatch: number;
  private readonly maxBatchBytes: number;
  private readonly lingerMs: number;

  constructor(
    private readonly what: string,
    /** Settles every item of the batch, then resolves. */
    private readonly send: (batch: Batch<C, R>) => Promise<void>,
    /** Of a new batch. */
    private readonly open: () => C,
    { budget = new Budget(), countUnderWay = false, maxBatch = MAX_BATCH, maxBatchBytes = MAX_BATCH_BYTES, lingerMs = 0 }: OutboxOptions = {},
  ) {
    this.budget = budget;
    this.countUnderWay = countUnderWay;
    this.maxBatch = maxBatch;
    this.maxBatchBytes = maxBatchBytes;
    this.lingerMs = lingerMs;
  }

  /** Resolves when it is sent. @throws BackpressureError | ClosedError | what it was rejected with */
  add(item: I): Promise<R> {
    const refused = this.refused(item);
    return refused ? Promise.reject(refused) : new Promise<R>((resolve) => this.take(item, resolve, 0));
  }

  /** As `add`, for whoever waits without a promise. */
  post(item: I, settle: Settle<R>, place: number): void {
    const refused = this.refused(item);
    if (refused) settle(new Failed(refused), place);
    else this.take(item, settle, place);
  }

  /** Takes over an item that the budget counts already. */
  adopt(item: I, settle: Settle<R>, place: number): void {
    this.put(item, item.size, settle, place);
  }

  /** Resolves when everything added so far has settled. */
  flush(): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    this.hurried = true;
    this.startSoon();
    return new Promise((resolve) => this.idle.push(resolve));
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
    for (const batch of batches) {
      this.budget.release(batch.count, batch.bytes);
      count += batch.count;
      batch.fail(error);
    }
    this.wakeIfIdle();
    return count;
  }

  /** Something is under way. */
  get busy(): boolean {
    return this.underWay > 0;
  }

  private get isIdle(): boolean {
    return this.underWay === 0 && !this.growing && this.full.length === 0;
  }

  private refused({ size }: I): Error | undefined {
    if (this.closed) return new ClosedError(this.what);
    return this.budget.admits(size) ? undefined : new BackpressureError(this.what, String(this.budget));
  }

  private take(item: I, settle: Settle<R>, place: number): void {
    const { size } = item;
    this.budget.take(size);
    this.put(item, size, settle, place);
  }

  private put(item: I, size: number, settle: Settle<R>, place: number): void {
    let batch = this.growing;
    if (batch && batch.bytes + size > this.maxBatchBytes) batch = this.seal(batch);
    batch ??= this.growing = new Batch<C, R>(this.open());
    batch.content.add(item);
    batch.add(settle, place);
    batch.bytes += size;
    if (batch.count === this.maxBatch || batch.bytes >= this.maxBatchBytes) this.seal(batch);
    if (this.underWay === 0) this.startSoon();
    else if (this.full.length > 0) this.start();
  }

  private seal(batch: Batch<C, R>): undefined {
    this.full.push(batch);
    this.growing = undefined;
  }

  /** One turn later, so that everything added in this turn shares the batch. */
  private startSoon(): void {
    if (this.starting) return;
    this.starting = true;
    // Not queueMicrotask: it makes an async resource each time, which a lone item waits for.
    void SOON.then(this.startNow);
  }

  private readonly startNow = (): void => {
    this.starting = false;
    this.start();
  };

  private start(): void {
    while (this.underWay < UNDER_WAY) {
      let batch = this.full.shift();
      if (!batch) {
        if (this.underWay > 0 || !this.growing || this.lingers(this.growing)) return;
        batch = this.growing;
        this.growing = undefined;
      }
      const { bytes, count } = batch;
      if (!this.countUnderWay) this.budget.release(count, bytes);
      this.underWay++;
      void this.send(batch).then(() => {
        if (this.countUnderWay) this.budget.release(count, bytes);
        this.ended();
      });
    }
  }

  private lingers({ since }: Batch<C, R>): boolean {
    if (this.lingerMs === 0 || this.hurried) return false;
    const ms = since + this.lingerMs - performance.now();
    if (ms <= 0) return false;
    this.lingering ??= setTimeout(() => {
      this.lingering = undefined;
      this.start();
    }, Math.ceil(ms));
    return true;
  }

  private ended(): void {
    this.underWay--;
    this.start();
    this.wakeIfIdle();
  }

  private wakeIfIdle(): void {
    if (!this.isIdle) return;
    this.hurried = false;
    clearTimeout(this.lingering);
    this.lingering = undefined;
    const { idle } = this;
    this.idle = [];
    for (const resolve of idle) resolve();
  }
}
