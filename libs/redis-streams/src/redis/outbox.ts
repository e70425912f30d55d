import { BackpressureError, ClosedError } from '../errors/index.js';
import { Failed, type Settle } from './settle.js';

const MAX_BATCH = 512;
const MAX_BATCH_BYTES = 1_048_576;
const MAX_PENDING = 100_000;
const MAX_PENDING_BYTES = 67_108_864;
/** One is being answered, one is the server's, and one on its way: with two, all three processes of a busy machine wait for each other's turns. */
const UNDER_WAY = 3;
const SOON = Promise.resolve();

/** What each UTF-16 unit of a text needs at most. */
const MOST_BYTES = 3;

/** Something to be sent. */
export interface Sized {
  /** In bytes if all of it is ASCII; else it is up to three times as many. */
  readonly size: number;
  /** In bytes. To be worked out: asked for only where it matters. */
  readonly bytes: number;
}

/** What is sent of the items of a batch, as it grows. */
export interface Content<I> {
  /** @returns the bytes that this took */
  add(item: I): number;
}

/** Items that are sent at once, in the order they were given. What is kept of each is who waits for it. */
export class Batch<C, R> {
  bytes = 0;
  private readonly waiting: Array<Settle<R>> = [];
  private readonly places: number[] = [];

  constructor(
    readonly content: C,
    /** When its first item was given: what waits behind a batch that fails does not wait as long again. */
    readonly since = performance.now(),
  ) {}

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
  admits(item: Sized): boolean {
    return this.items < this.maxItems && (this.items === 0 || fits(item, this.maxBytes - this.bytes));
  }

  take(bytes: number): void {
    this.items++;
    this.bytes += bytes;
  }

  /** What was taken for an item that is taken again, as it is now. */
  untake(bytes: number): void {
    this.items--;
    this.bytes -= bytes;
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

/** Nearly always told without working out how many bytes it has. */
function fits(item: Sized, room: number): boolean {
  const { size } = item;
  return size <= room && (size * MOST_BYTES <= room || item.bytes <= room);
}

/** Who waits until so many batches have ended. */
interface Flush {
  readonly until: number;
  resolve(): void;
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
  /** Batches are counted: those that were made, those that were started, in the order they were made; and those up to which they do not linger. */
  private made = 0;
  private started = 0;
  private hurried = 0;
  /** Numbers of the batches under way, lowest first. */
  private underWay: number[] = [];
  private starting = false;
  /** The first comes first. */
  private flushes: Flush[] = [];
  private closed = false;
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
    return refused ? Promise.reject(refused) : new Promise<R>((resolve) => this.put(item, resolve, 0));
  }

  /** As `add`, for whoever waits without a promise. `since`: when it was given, if not now. */
  post(item: I, settle: Settle<R>, place: number, since?: number): void {
    const refused = this.refused(item);
    if (refused) settle(new Failed(refused), place);
    else this.put(item, settle, place, since);
  }

  /** Takes over an item whose bytes the budget counts already. */
  adopt(item: I, settle: Settle<R>, place: number, since: number): void {
    this.budget.untake(item.bytes);
    this.put(item, settle, place, since);
  }

  /** Resolves when everything added so far has settled. What is added later may share the last batch, and is not waited for beyond it. */
  flush(): Promise<void> {
    const until = this.made;
    if (this.ended >= until) return Promise.resolve();
    this.hurried = until;
    this.startSoon();
    return new Promise((resolve) => this.flushes.push({ until, resolve }));
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
    this.started = this.made;
    this.wake();
    return count;
  }

  /** Something is under way. */
  get busy(): boolean {
    return this.underWay.length > 0;
  }

  /** So many batches have, and none before them has not. */
  private get ended(): number {
    return this.underWay.length > 0 ? this.underWay[0]! - 1 : this.started;
  }

  private refused(item: I): Error | undefined {
    if (this.closed) return new ClosedError(this.what);
    return this.budget.admits(item) ? undefined : new BackpressureError(this.what, String(this.budget));
  }

  private put(item: I, settle: Settle<R>, place: number, since?: number): void {
    let batch = this.growing;
    if (batch && !fits(item, this.maxBatchBytes - batch.bytes)) batch = this.seal(batch);
    if (!batch) {
      this.made++;
      batch = this.growing = new Batch<C, R>(this.open(), since);
    }
    const bytes = batch.content.add(item);
    batch.add(settle, place);
    batch.bytes += bytes;
    this.budget.take(bytes);
    if (batch.count === this.maxBatch || batch.bytes >= this.maxBatchBytes) this.seal(batch);
    if (this.underWay.length === 0) this.startSoon();
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
    while (this.underWay.length < UNDER_WAY) {
      let batch = this.full.shift();
      if (!batch) {
        if (this.underWay.length > 0 || !this.growing || this.lingers(this.growing)) return;
        batch = this.growing;
        this.growing = undefined;
      }
      const { bytes, count } = batch;
      if (!this.countUnderWay) this.budget.release(count, bytes);
      const number = ++this.started;
      this.underWay.push(number);
      void this.send(batch).then(() => {
        if (this.countUnderWay) this.budget.release(count, bytes);
        this.underWay.splice(this.underWay.indexOf(number), 1);
        this.start();
        this.wake();
      });
    }
  }

  private lingers({ since }: Batch<C, R>): boolean {
    if (this.lingerMs === 0 || this.made <= this.hurried) return false;
    const ms = since + this.lingerMs - performance.now();
    if (ms <= 0) return false;
    this.lingering ??= setTimeout(() => {
      this.lingering = undefined;
      this.start();
    }, Math.ceil(ms));
    return true;
  }

  private wake(): void {
    const { ended } = this;
    while (this.flushes.length > 0 && this.flushes[0]!.until <= ended) this.flushes.shift()!.resolve();
    if (ended < this.made) return;
    clearTimeout(this.lingering);
    this.lingering = undefined;
  }
}
