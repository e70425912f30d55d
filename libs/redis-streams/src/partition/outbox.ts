import { BackpressureError, ClosedError } from '../errors/index.js';
import type { Outgoing } from './encode.js';
import type { SentMessage } from './types.js';

const MAX_BATCH = 512;
const MAX_BATCH_BYTES = 1_048_576;
const MAX_PENDING = 100_000;
const MAX_PENDING_BYTES = 67_108_864;
/** The next one is on its way while the server works on this one. */
const UNDER_WAY = 2;

/** Messages that are sent at once, in the order they were given. */
export class Batch {
  readonly messages: Outgoing[] = [];
  bytes = 0;
  /** When its first message was given: what waits behind a batch that fails does not wait as long again. */
  readonly since = performance.now();
}

/**
 * What a producer has yet to send to one shard. A lone message goes out at once; while a batch is under way the next one
 * grows, and a second is under way only when it is full: so batches grow exactly when the server is the slower side.
 * Much like the Batcher, but its items know who waits for them, and batches are never copied: at this rate what is made for
 * each message, and what dies old, is most of the cost.
 */
export class Outbox {
  private growing: Batch | undefined;
  private full: Batch[] = [];
  private messages = 0;
  private bytes = 0;
  private underWay = 0;
  private starting = false;
  private idle: Array<() => void> = [];
  private closed = false;

  constructor(
    private readonly what: string,
    /** Settles every message of the batch, then resolves. */
    private readonly send: (batch: Batch) => Promise<void>,
  ) {}

  /** Resolves when it is sent. @throws BackpressureError | ClosedError | what it was rejected with */
  add(message: Outgoing): Promise<SentMessage> {
    const { size } = message;
    if (this.closed) return Promise.reject(new ClosedError(this.what));
    if (this.messages >= MAX_PENDING || (this.messages > 0 && this.bytes + size > MAX_PENDING_BYTES)) {
      return Promise.reject(new BackpressureError(this.what, `${MAX_PENDING} items or ${MAX_PENDING_BYTES} bytes`));
    }
    const sent = new Promise<SentMessage>((resolve, reject) => {
      message.resolve = resolve;
      message.reject = reject;
    });
    this.put(message, size);
    if (this.underWay === 0) this.startSoon();
    else if (this.full.length > 0) this.start();
    return sent;
  }

  /** Resolves when everything added so far has settled. */
  flush(): Promise<void> {
    return this.isIdle ? Promise.resolve() : new Promise((resolve) => this.idle.push(resolve));
  }

  /** Refuses new messages, then flushes. */
  async close(): Promise<void> {
    this.closed = true;
    await this.flush();
  }

  private get isIdle(): boolean {
    return this.underWay === 0 && this.messages === 0;
  }

  private put(message: Outgoing, size: number): void {
    let batch = this.growing;
    if (batch && batch.bytes + size > MAX_BATCH_BYTES) batch = this.seal(batch);
    batch ??= this.growing = new Batch();
    batch.messages.push(message);
    batch.bytes += size;
    this.messages++;
    this.bytes += size;
    if (batch.messages.length === MAX_BATCH || batch.bytes >= MAX_BATCH_BYTES) this.seal(batch);
  }

  private seal(batch: Batch): undefined {
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
      this.messages -= batch.messages.length;
      this.bytes -= batch.bytes;
      this.underWay++;
      void this.send(batch).then(() => this.ended());
    }
  }

  private ended(): void {
    this.underWay--;
    this.start();
    if (!this.isIdle) return;
    const { idle } = this;
    this.idle = [];
    for (const resolve of idle) resolve();
  }
}
