import { BackpressureError, ClosedError } from '../errors/index.js';

export interface BatcherOptions<In, Out> {
  /** What is batched, for messages. */
  readonly what: string;
  /** Sends one batch; answers one result per item, in order; an Error rejects its item. */
  readonly send: (items: readonly In[]) => Promise<ReadonlyArray<Out | Error>>;
  /** Size of one item in bytes. Default 0. */
  readonly sizeOf?: (item: In) => number;
  /** Calls of `send` under way at once. Default 1. More than one only begin with full batches: what trickles in still gathers. */
  readonly inFlight?: number;
  readonly maxItems: number;
  readonly maxBytes: number;
  /** Bounds of what waits, beyond which `add` rejects with BackpressureError. */
  readonly maxPendingItems: number;
  readonly maxPendingBytes: number;
}

interface Waiting<In, Out> {
  readonly item: In;
  readonly bytes: number;
  resolve(result: Out): void;
  reject(error: unknown): void;
}

/**
 * What arrives while a batch is in flight is the next. So a lone item goes out at once, batches grow exactly when the
 * server is the slower side, and items go out in order. The one batcher of this package.
 */
export class Batcher<In, Out> {
  private waiting: Array<Waiting<In, Out>> = [];
  private bytes = 0;
  /** Items ever given, and ever taken into a batch. */
  private added = 0;
  private taken = 0;
  /** Of each batch under way the items that were taken before it; the oldest first. */
  private readonly running: number[] = [];
  private starting = false;
  /** Who waits until so many items have settled; the first comes first. */
  private flushes: Array<{ readonly until: number; resolve(): void }> = [];
  private closed = false;

  constructor(private readonly options: BatcherOptions<In, Out>) {}

  /** Resolves with the result for this item. @throws BackpressureError | ClosedError | what `send` threw */
  add(item: In): Promise<Out> {
    const { options } = this;
    if (this.closed) return Promise.reject(new ClosedError(options.what));
    const bytes = options.sizeOf?.(item) ?? 0;
    if (this.waiting.length >= options.maxPendingItems || (this.waiting.length > 0 && this.bytes + bytes > options.maxPendingBytes)) {
      return Promise.reject(new BackpressureError(options.what, `${options.maxPendingItems} items or ${options.maxPendingBytes} bytes`));
    }
    return new Promise<Out>((resolve, reject) => {
      this.waiting.push({ item, bytes, resolve, reject });
      this.bytes += bytes;
      this.added++;
      if (this.running.length === 0) this.startSoon();
      else this.start();
    });
  }

  /** Resolves when everything added so far has settled. */
  flush(): Promise<void> {
    const until = this.added;
    return this.settled >= until ? Promise.resolve() : new Promise((resolve) => this.flushes.push({ until, resolve }));
  }

  /** Refuses new items, then flushes. */
  async close(): Promise<void> {
    this.closed = true;
    await this.flush();
  }

  get isIdle(): boolean {
    return this.running.length === 0 && this.waiting.length === 0;
  }

  /** So many items have, and none before them has not. */
  private get settled(): number {
    return this.running[0] ?? this.taken;
  }

  /** One turn later, so that everything added in this turn shares the batch. */
  private startSoon(): void {
    if (this.starting) return;
    this.starting = true;
    void Promise.resolve().then(() => {
      this.starting = false;
      this.start();
    });
  }

  private start(): void {
    const { inFlight = 1, maxItems, maxBytes } = this.options;
    while (this.waiting.length > 0 && this.running.length < inFlight) {
      if (this.running.length > 0 && this.waiting.length < maxItems && this.bytes < maxBytes) return;
      void this.run(this.take());
    }
  }

  private async run(batch: ReadonlyArray<Waiting<In, Out>>): Promise<void> {
    const before = this.taken - batch.length;
    this.running.push(before);
    try {
      const results = await this.options.send(batch.map(({ item }) => item));
      batch.forEach((entry, i) => {
        const result = results[i] as Out | Error;
        if (result instanceof Error) entry.reject(result);
        else entry.resolve(result);
      });
    } catch (error) {
      for (const entry of batch) entry.reject(error);
    }
    this.running.splice(this.running.indexOf(before), 1);
    this.start();
    const { settled } = this;
    while (this.flushes.length > 0 && this.flushes[0]!.until <= settled) this.flushes.shift()!.resolve();
  }

  private take(): Array<Waiting<In, Out>> {
    let count = 0;
    let bytes = 0;
    while (count < this.waiting.length && count < this.options.maxItems) {
      const next = this.waiting[count]!;
      if (count > 0 && bytes + next.bytes > this.options.maxBytes) break;
      bytes += next.bytes;
      count++;
    }
    const batch = this.waiting.slice(0, count);
    this.waiting = this.waiting.slice(count);
    this.bytes -= bytes;
    this.taken += count;
    return batch;
  }
}
