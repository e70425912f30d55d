import { BaseRpcContext } from '@nestjs/microservices';
import type { Headers } from '../handling/headers.js';
import type { PartitionContext } from '../partition/types.js';
import type { QueueContext } from '../queue/handler-types.js';
import { metadataOf, ownHeaders } from './headers.js';

/** A message as a queue or a partitioned stream delivers it. */
export type Delivery = QueueContext | PartitionContext;

/** `@Ctx()` of handlers of events and requests. */
export class RedisStreamsContext extends BaseRpcContext<[delivery: Delivery, pattern: string]> {
  private cancelled: (() => AbortSignal) | undefined;
  private both: AbortSignal | undefined;

  constructor(delivery: Delivery, pattern: string) {
    super([delivery, pattern]);
  }

  /** The delivery underneath: a {@link QueueContext}, or a {@link PartitionContext} where the pattern has `partitions`. */
  get delivery(): Delivery {
    return this.args[0];
  }

  /** As the server knows it: an object pattern is its JSON with sorted keys. */
  get pattern(): string {
    return this.args[1];
  }

  /** Full name of the queue or partitioned stream. */
  get stream(): string {
    const { delivery } = this;
    return 'queue' in delivery ? delivery.queue : delivery.stream;
  }

  get group(): string {
    return this.delivery.group;
  }

  /** Id of the stream entry; stays the same through retries. */
  get id(): string {
    return this.delivery.id;
  }

  get key(): string | undefined {
    return this.delivery.key;
  }

  /** 1 at the first delivery. */
  get attempt(): number {
    return this.delivery.attempt;
  }

  /** Those the sender gave. */
  get headers(): Headers {
    return ownHeaders(this.delivery.headers);
  }

  /** What the sender's instrumentation put into `packet.metadata`. */
  get metadata(): Readonly<Record<string, string>> {
    return metadataOf(this.delivery.headers);
  }

  /** As Nest 12 asks for it. */
  getMetadata(): Readonly<Record<string, string>> {
    return this.metadata;
  }

  /** Aborts when the message is lost to this process or takes too long, and for a request when nobody waits for it any more. */
  get signal(): AbortSignal {
    const { signal } = this.delivery;
    return this.cancelled ? (this.both ??= AbortSignal['any']([signal, this.cancelled()])) : signal;
  }

  /** It is done. Needed with `ack: 'manual'`. Resolves when Redis has it. @throws FencedError when the message is somebody else's by now */
  ack(): Promise<void> {
    return this.delivery.ack();
  }

  /** It failed: again after `delayMs`, by default after the backoff. Where the pattern has `partitions`, throw a RetryException instead. @throws FencedError */
  nack(delayMs?: number): Promise<void> {
    const { delivery } = this;
    return 'nack' in delivery ? delivery.nack(delayMs) : Promise.reject(new TypeError('an ordered event cannot be refused beside its handler: throw a RetryException'));
  }

  /** To the dead letters. Where the pattern has `partitions`, throw a DeadLetterException instead. @throws FencedError */
  deadLetter(reason: string): Promise<void> {
    const { delivery } = this;
    return 'deadLetter' in delivery ? delivery.deadLetter(reason) : Promise.reject(new TypeError('an ordered event cannot be dead-lettered beside its handler: throw a DeadLetterException'));
  }

  /** @internal */
  cancelledBy(signal: () => AbortSignal): void {
    this.cancelled = signal;
  }
}
