import { FencedError, HandlerTimeoutError } from '../errors/index.js';
import { NO_HEADERS, readHeaders, type Headers } from '../handling/headers.js';
import type { Call } from '../handling/calls.js';
import type { QueueContext } from './handler-types.js';
import type { HeldMessage } from './held-message.js';
import type { QueueShard } from './shard.js';

/** What a delivery asks of its consumer. Each answers whether the delivery had a say. */
export interface DeliveryHost {
  readonly queue: string;
  readonly group: string;
  acknowledged(delivery: QueueDelivery): boolean;
  refused(delivery: QueueDelivery, delayMs: number | undefined): boolean;
  parked(delivery: QueueDelivery, reason: string): boolean;
}

/** One call of a handler. Made for every message, so it costs little until asked. */
export class QueueDelivery implements QueueContext, Call {
  over = false;
  index = -1;
  /** Of this call: what is held goes on counting. */
  readonly attempt: number;
  readonly redelivered: boolean;
  private read: Headers | undefined;
  private controller: AbortController | undefined;
  private aborted: Error | undefined;
  private settled: Promise<void> | undefined;

  constructor(
    private readonly host: DeliveryHost,
    readonly place: QueueShard,
    readonly held: HeldMessage,
    readonly data: unknown,
    readonly startedAt: number,
  ) {
    this.attempt = held.failures + held.crashes + 1;
    this.redelivered = held.recorded;
  }

  get queue(): string {
    return this.host.queue;
  }

  get group(): string {
    return this.host.group;
  }

  get shard(): number {
    return this.place.shard;
  }

  get id(): string {
    return this.held.id;
  }

  get messageId(): string | undefined {
    return this.held.field('id');
  }

  get key(): string | undefined {
    return this.held.message.key;
  }

  get headers(): Headers {
    const { headers } = this.held.message;
    return headers === undefined ? NO_HEADERS : (this.read ??= readHeaders(headers));
  }

  get size(): number {
    return this.held.message.data?.length ?? 0;
  }

  get queuedAt(): number {
    return Number.parseInt(this.held.id, 10);
  }

  /** Made when first asked for: most handlers never do. */
  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.aborted) this.controller.abort(this.aborted);
    return this.controller.signal;
  }

  ack(): Promise<void> {
    return this.settle('ack', () => this.host.acknowledged(this));
  }

  nack(delayMs?: number): Promise<void> {
    return this.settle('nack', () => this.host.refused(this, delayMs));
  }

  deadLetter(reason: string): Promise<void> {
    return this.settle('deadLetter', () => this.host.parked(this, String(reason)));
  }

  /** The handler itself has said what becomes of it. */
  get isSettled(): boolean {
    return this.settled !== undefined;
  }

  /** We broke it off: what it says of that is no failure of its own. */
  get isAborted(): boolean {
    return this.aborted !== undefined && !(this.aborted instanceof HandlerTimeoutError);
  }

  abort(reason: Error): void {
    this.aborted ??= reason;
    this.controller?.abort(reason);
  }

  private settle(operation: string, say: () => boolean): Promise<void> {
    const fenced = (): FencedError => new FencedError(`${this.queue} message ${this.id}`, undefined, operation);
    if (this.settled) return this.settled;
    const settled = say()
      ? (this.settled = this.place.stored().then((stored) => {
        if (!stored) throw fenced();
      }))
      : Promise.reject(fenced());
    settled.catch(() => undefined); // not everybody waits for it
    return settled;
  }
}
