import { RoomEjectedError, toError, type EjectReason } from '../errors/index.js';
import { backoffDelay } from '../kernel/backoff.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ErrorContext } from '../options.js';
import { sleep } from '../redis/sleep.js';
import type { ResolvedRoomTuning } from './options.js';
import type { RoomContext, RoomHandlers, RoomHeaders, RoomMessage } from './types.js';

/** A message as a seat hands it to its subscribers. */
export type ShownMessage = Omit<RoomMessage, 'attempt'>;

/** What a subscriber tells its seat. */
export interface SubscriberHost {
  readonly room: string;
  readonly events: RedisStreamsEvents;
  /** Nothing is to wait for it any more with this message. */
  acknowledged(subscriber: Subscriber, id: string): void;
  ejected(subscriber: Subscriber, reason: EjectReason, messageId: string | undefined): void;
  /** Its last handler call has ended. */
  rested(subscriber: Subscriber): void;
  onError(error: Error, context: ErrorContext): void;
}

/**
 * `pending`: wants to be in; `active`: gets messages; `resting`: ejected, and comes back when its handlers have ended; `gone`.
 */
export type SubscriberState = 'pending' | 'active' | 'resting' | 'gone';

/** One call of a handler with its retries. Its signal is made when somebody asks for it: most handlers never do. */
class Run {
  open = true;
  readonly since = performance.now();
  private controller: AbortController | undefined;
  private reason: Error | undefined;

  constructor(readonly message: ShownMessage) {}

  get isAborted(): boolean {
    return this.reason !== undefined;
  }

  get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.reason) this.controller.abort(this.reason);
    }
    return this.controller.signal;
  }

  abort(reason: Error): void {
    this.reason ??= reason;
    this.controller?.abort(reason);
  }
}

/** A class, since a literal with a getter takes longer to make than all the rest of a message's way. */
class ShownContext implements RoomContext {
  readonly room: string;
  readonly id: string;
  readonly data: unknown;
  readonly headers: RoomHeaders;
  readonly priority: number;
  readonly outOfBand: boolean;
  readonly sentAt: number;
  readonly redelivery: number;
  readonly #run: Run;

  constructor(
    run: Run,
    readonly subscriber: string,
    readonly attempt: number,
    readonly ack: () => void,
  ) {
    const { message } = run;
    this.room = message.room;
    this.id = message.id;
    this.data = message.data;
    this.headers = message.headers;
    this.priority = message.priority;
    this.outOfBand = message.outOfBand;
    this.sentAt = message.sentAt;
    this.redelivery = message.redelivery;
    this.#run = run;
  }

  get signal(): AbortSignal {
    return this.#run.signal;
  }
}

/** One local subscriber of one room: calls the handler, retries, gives up in time. Its seat decides what it is shown. */
export class Subscriber {
  state: SubscriberState = 'pending';
  /** It is shown turns above this one only. */
  after = 0;
  /** Handler calls that have not ended. */
  private readonly runs = new Set<Run>();
  /** Messages not acknowledged; with `ack: 'manual'` the handler may have ended long ago. */
  private readonly owed = new Set<Run>();
  private readonly queue: ShownMessage[] = [];
  private draining = false;
  private watchdog: NodeJS.Timeout | undefined;

  constructor(
    readonly id: string,
    readonly tuning: ResolvedRoomTuning,
    private readonly handlers: RoomHandlers,
    private readonly host: SubscriberHost,
  ) {}

  get sync(): boolean {
    return this.tuning.sync;
  }

  /** Handler calls that have not ended. */
  get busy(): boolean {
    return this.runs.size > 0;
  }

  /** Shows it: calls the handler, now or, for an async subscriber, after those before it. */
  show(message: ShownMessage): void {
    if (this.sync || message.outOfBand) return void this.run(message);
    if (this.queue.length >= this.tuning.maxQueued) {
      const dropped = this.queue.shift()!;
      this.host.events.emit('room.dropped', { room: this.host.room, subscriber: this.id, id: dropped.id });
    }
    this.queue.push(message);
    if (!this.draining) void this.drainQueue();
  }

  /** Nobody waits for it any more: what runs is aborted. */
  abort(reason: EjectReason): void {
    this.queue.length = 0;
    for (const run of new Set([...this.runs, ...this.owed])) {
      this.close(run);
      run.abort(new RoomEjectedError(this.host.room, this.id, reason));
    }
    clearTimeout(this.watchdog);
    this.watchdog = undefined;
  }

  /** Calls a hook; its failure disturbs nobody. */
  async hook(hook: 'joined' | 'ejected', event: never): Promise<void> {
    try {
      await (this.handlers[hook] as ((event: unknown) => unknown) | undefined)?.(event);
    } catch (error) {
      this.host.events.emit('hook.error', { service: `room "${this.host.room}"`, hook, error: toError(error) });
    }
  }

  private async drainQueue(): Promise<void> {
    this.draining = true;
    for (let next = this.queue.shift(); next; next = this.queue.shift()) await this.run(next);
    this.draining = false;
  }

  private async run(message: ShownMessage): Promise<void> {
    const run = new Run(message);
    const waited = this.sync && !message.outOfBand;
    if (waited) {
      this.owed.add(run);
      this.watchdog ??= this.watch(this.tuning.ackTimeoutMs);
    }
    this.runs.add(run);
    const result = this.attempt(run, 1, waited);
    if (result) await result;
    this.runs.delete(run);
    if (this.runs.size === 0) this.host.rested(this);
  }

  /** Undefined when it has ended without waiting: most handlers of ticks do. */
  private attempt(run: Run, attempt: number, waited: boolean): Promise<void> | undefined {
    try {
      const result = this.handlers.message(run.message.data, this.contextOf(run, attempt));
      if (typeof result === 'object' && result !== null && typeof (result as PromiseLike<unknown>).then === 'function') {
        // Not its own `then`: of what only looks like a promise that one may throw.
        return Promise.resolve(result).then(
          () => this.returned(run),
          (error: unknown) => this.failed(run, attempt, waited, error),
        );
      }
    } catch (error) {
      return this.failed(run, attempt, waited, error);
    }
    this.returned(run);
    return undefined;
  }

  private returned(run: Run): void {
    if (this.tuning.ack === 'auto') this.acknowledge(run);
  }

  private async failed(run: Run, attempt: number, waited: boolean, thrown: unknown): Promise<void> {
    const error = toError(thrown);
    const { events, room } = this.host;
    if (!run.open && waited) {
      // After an abort nobody wants it any more: the handler ended as it was asked to. After its own `ack()` it failed for nobody but the operator.
      if (!run.isAborted) this.host.onError(error, { room, attempt, during: `the handler of message ${run.message.id}, which it had acknowledged` });
      return;
    }
    const { onFailure, maxAttempts, backoff } = this.tuning;
    if (onFailure === 'nack-retry' && attempt < maxAttempts && !run.message.outOfBand) {
      const delayMs = backoffDelay(backoff, attempt, Math.random());
      events.emit('room.retried', { room, subscriber: this.id, id: run.message.id, attempt, delayMs, error });
      await sleep(delayMs, run.signal);
      if (run.isAborted) return;
      return this.attempt(run, attempt + 1, waited);
    }
    this.host.onError(error, { room, attempt, during: `the handler of message ${run.message.id}` });
    if (!waited || onFailure === 'ack') this.acknowledge(run);
    else this.give(run, 'failed');
  }

  private acknowledge(run: Run): void {
    if (!run.open) return;
    this.close(run);
    if (this.sync && !run.message.outOfBand) this.host.acknowledged(this, run.message.id);
  }

  /** One timer for all messages: what is acknowledged in time, as nearly all are, costs it nothing. */
  private watch(ms: number): NodeJS.Timeout {
    const judge = (): void => {
      this.watchdog = undefined;
      for (const run of this.owed) {
        const left = run.since + this.tuning.ackTimeoutMs - performance.now();
        if (left > 0) return void (this.watchdog = this.watch(left));
        this.give(run, 'timeout');
      }
    };
    return setTimeout(judge, Math.ceil(ms)).unref();
  }

  private give(run: Run, reason: EjectReason): void {
    if (run.open) this.host.ejected(this, reason, run.message.id);
  }

  private close(run: Run): void {
    run.open = false;
    this.owed.delete(run);
  }

  private contextOf(run: Run, attempt: number): RoomContext {
    return new ShownContext(run, this.id, attempt, () => this.acknowledge(run));
  }
}
