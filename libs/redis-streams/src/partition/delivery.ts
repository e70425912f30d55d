import { NO_HEADERS, readHeaders, type Headers } from '../handling/headers.js';
import type { WindowEntry } from '../kernel/partition-window.js';
import type { StreamMessage } from '../kernel/xread-parser.js';
import type { PartitionBatchContext, PartitionContext, PartitionMessage } from './types.js';

/** A message as it was read. */
export type RawMessage = StreamMessage;

/** What a delivery needs to know of its partition. */
export interface DeliveryHost {
  readonly stream: string;
  readonly group: string;
  readonly partition: number;
  readonly token: number;
  readonly lag: number;
  acknowledge(delivery: Delivery): Promise<void>;
}

export class Message<T = unknown> implements PartitionMessage<T> {
  constructor(
    readonly id: string,
    readonly partition: number,
    readonly key: string | undefined,
    readonly data: T,
    readonly attempt: number,
    private readonly rawHeaders: string | undefined,
  ) {}

  get headers(): Headers {
    return this.rawHeaders === undefined ? NO_HEADERS : readHeaders(this.rawHeaders);
  }
}

/** One call of a handler: with one message, or with a batch. Made for every message, so it costs little until asked. */
export abstract class Delivery {
  readonly startedAt: number;
  /** Settled, or given up: what the handler still says is not heard. */
  over = false;
  index = -1;
  acknowledged = false;
  private controller: AbortController | undefined;
  private aborted: Error | undefined;

  constructor(
    protected readonly host: DeliveryHost,
    now: number,
  ) {
    this.startedAt = now;
  }

  abstract get entries(): ReadonlyArray<WindowEntry<RawMessage>>;

  get stream(): string {
    return this.host.stream;
  }

  get group(): string {
    return this.host.group;
  }

  get partition(): number {
    return this.host.partition;
  }

  get fencingToken(): number {
    return this.host.token;
  }

  get lag(): number {
    return this.host.lag;
  }

  /** Made when first asked for: most handlers never do. */
  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.aborted) this.controller.abort(this.aborted);
    return this.controller.signal;
  }

  ack(): Promise<void> {
    const told = this.host.acknowledge(this);
    told.catch(() => undefined); // not everybody waits for it
    return told;
  }

  get isAborted(): boolean {
    return this.aborted !== undefined;
  }

  /** Tells the handler that it works for nothing from here on. */
  abort(reason: Error): void {
    this.aborted ??= reason;
    this.controller?.abort(reason);
  }
}

export class SingleDelivery extends Delivery implements PartitionContext {
  readonly attempt: number;
  private readonly entry: WindowEntry<RawMessage>;

  constructor(
    host: DeliveryHost,
    /** The one. */
    readonly entries: ReadonlyArray<WindowEntry<RawMessage>>,
    readonly data: unknown,
    now: number,
  ) {
    super(host, now);
    this.entry = entries[0]!;
    this.attempt = this.entry.failures + 1;
  }

  get id(): string {
    return this.entry.id;
  }

  get key(): string | undefined {
    return this.entry.key;
  }

  get size(): number {
    return this.entry.value.data?.length ?? 0;
  }

  get headers(): Headers {
    const { headers } = this.entry.value;
    return headers === undefined ? NO_HEADERS : readHeaders(headers);
  }
}

export class BatchDelivery extends Delivery implements PartitionBatchContext {
  constructor(
    host: DeliveryHost,
    readonly entries: ReadonlyArray<WindowEntry<RawMessage>>,
    readonly messages: readonly Message[],
    now: number,
  ) {
    super(host, now);
  }
}
