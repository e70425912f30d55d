import { HandlerTimeoutError, MessageLostError, toError } from '../errors/index.js';
import { Calls } from '../handling/calls.js';
import { givenDelay, outcomeOf } from '../handling/outcome.js';
import { promiseOf } from '../handling/thenable.js';
import { backoffDelay } from '../kernel/backoff.js';
import { isTransient } from '../kernel/server-errors.js';
import { patiently } from '../redis/patiently.js';
import { sleep } from '../redis/sleep.js';
import type { QueueConsumerContext } from './consumer-context.js';
import { deadLetterFields } from './dead-letter.js';
import { QueueDelivery, type DeliveryHost } from './delivery.js';
import type { QueueHandlers } from './handler-types.js';
import { dataOf, type HeldMessage } from './held-message.js';
import type { ResolvedQueueConsumer } from './options.js';
import { QueueShard } from './shard.js';
import type { QueueShardHost } from './shard-host.js';
import { QueueShardStore } from './store.js';
import { Turns, type Placed } from './turns.js';

const ABORT_GRACE_MS = 100;
const RETRY_MS = 200;

/** One process's part in one consumer group of one queue: messages of all shards, so many handlers at a time. */
export class QueueConsumer implements DeliveryHost {
  private shards: QueueShard[] = [];
  private ready: Placed[] = [];
  /** Of `ready`: those before are begun. */
  private next = 0;
  /** Suspects that are being written down: each has a place. */
  private marking = 0;
  private readonly turns: Turns;
  private readonly calls: Calls<QueueDelivery>;
  private pumping = false;
  private draining = false;
  private stopping: Promise<void> | undefined;
  private readonly stopped = new AbortController();

  constructor(
    private readonly options: ResolvedQueueConsumer,
    private readonly handlers: QueueHandlers,
    private readonly context: QueueConsumerContext,
  ) {
    this.turns = new Turns(() => context.alone(), () => this.hasPlace && ++this.marking > 0);
    this.calls = new Calls(options.maxProcessingMs, (delivery) => this.expired(delivery));
  }

  /** Full name of the queue. */
  get queue(): string {
    return this.options.queue;
  }

  get group(): string {
    return this.options.group;
  }

  /** Live session ids, by shard; undefined where there is none at present. */
  sessions(): Array<string | undefined> {
    return this.shards.map(({ session }) => session);
  }

  /** Messages this process holds at present, begun or not, and handlers that run. */
  load(): { readonly held: number; readonly running: number } {
    return { held: this.shards.reduce((sum, { size }) => sum + size, 0), running: this.calls.size };
  }

  /** Joins the group in every shard and begins to read. @throws QueueNotRegisteredError | ConsumerNameInUseError | ConnectionError */
  async start(): Promise<void> {
    const { context, options } = this;
    const { queue, group } = options;
    const keys = await context.find(queue, `consumer of group "${group}"`, this.stopped.signal);
    const stores = keys.map((shard) => new QueueShardStore(context.redis, shard, group));
    await Promise.all(stores.map((store) => patiently(() => store.createGroup(options.startFrom), this.stopped.signal)));
    if (this.stopping) return;
    const host = this.shardHost(keys.length);
    this.shards = stores.map((store, shard) => new QueueShard(shard, store, host, context));
    await Promise.all(this.shards.map((shard) => shard.start()));
  }

  /** Reads nothing more, waits for what runs, settles it, leaves; what was not begun goes to others at once. Idempotent; bounded by `drainMs` and the command timeout. */
  stop(): Promise<void> {
    return (this.stopping ??= this.leave('closed'));
  }

  // From deliveries.

  acknowledged(delivery: QueueDelivery): boolean {
    if (!this.close(delivery)) return false;
    delivery.place.done(delivery.held);
    this.pump();
    return true;
  }

  refused(delivery: QueueDelivery, delayMs: number | undefined): boolean {
    if (!this.close(delivery)) return false;
    this.failed(delivery, new Error('the handler refused it'), delayMs);
    return true;
  }

  parked(delivery: QueueDelivery, reason: string): boolean {
    if (!this.close(delivery)) return false;
    this.giveUp(delivery, reason, undefined);
    return true;
  }

  private shardHost(shards: number): QueueShardHost {
    const { context, options } = this;
    const { queue, group, startFrom, blockMs } = options;
    return {
      queue, group, startFrom, blockMs,
      lingerMs: this.handlers.settleWithinMs ?? 0,
      prefetch: Math.ceil(options.prefetch / shards),
      prefetchFrom: Math.ceil(options.prefetchFrom / shards),
      events: context.events,
      hungry: () => this.isHungry,
      delivered: (shard, messages) => {
        for (const held of messages) {
          if (this.draining) shard.retry(held.asItCame(), 0); // of a look that was under way
          else this.ready.push({ shard, held });
        }
        queueMicrotask(() => this.pump());
      },
      lost: (shard) => this.lost(shard),
      rejoined: () => context.rejoined(),
      failed: (error) => void (this.stopping ??= this.leave('name-in-use', error)),
      onError: (error, during) => context.onError(error, { queue, group, during }),
    };
  }

  private get hasPlace(): boolean {
    return this.calls.size + this.marking < this.options.concurrency;
  }

  /** Handlers could run, and there is nothing for them. */
  private get isHungry(): boolean {
    return this.ready.length === this.next && this.hasPlace;
  }

  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    this.turns.advance();
    while (!this.draining && this.next < this.ready.length && this.hasPlace) {
      const { shard, held } = this.ready[this.next++]!;
      if (!shard.holds(held)) continue; // its session is over
      if (held.isSuspect) void this.mark(shard, held);
      else this.begin(shard, held);
    }
    if (this.next === this.ready.length || this.next > 4_096) {
      this.ready = this.ready.slice(this.next);
      this.next = 0;
    }
    this.pumping = false;
    if (this.isHungry) for (const shard of this.shards) shard.feed();
  }

  /** A process died with it: that it is about to run is written down first, and where one died for certain it runs alone. */
  private async mark(shard: QueueShard, held: HeldMessage): Promise<void> {
    const { maxCrashes } = this.options;
    if (maxCrashes > 0 && held.crashes >= maxCrashes) {
      held.failures++;
      this.park(shard, held, 'crashed', new Error(`its process died ${held.crashes} times while it ran`));
      return;
    }
    if (held.crashes === 0) this.marking++;
    else if (!(await this.turns.take({ shard, held }, () => !this.draining && shard.holds(held)))) return this.pump();
    for (let begun: boolean | undefined; begun === undefined; ) {
      if (this.draining || !shard.holds(held)) break;
      try {
        begun = await shard.begin(held);
        if (begun && !this.draining) {
          this.marking--;
          this.begin(shard, held);
          this.pump(); // it may have needed no handler
          return;
        }
      } catch (error) {
        if (!isTransient(error)) this.context.onError(error as Error, { queue: this.queue, group: this.group, during: `writing down that message ${held.id} is about to run` });
        await sleep(RETRY_MS, this.stopped.signal);
      }
    }
    this.marking--;
    this.turns.end(held);
    this.pump();
  }

  private begin(shard: QueueShard, held: HeldMessage): void {
    const to = held.field('to');
    if (to !== undefined && to !== this.group) {
      this.turns.end(held);
      return shard.done(held); // meant for another group
    }
    let data: unknown;
    try {
      data = dataOf(held);
    } catch (error) {
      this.turns.end(held);
      return this.park(shard, held, held.message.data === undefined ? 'missing-data' : 'invalid-json', error as Error);
    }
    const delivery = new QueueDelivery(this, shard, held, data, performance.now());
    this.calls.begin(delivery);
    let result: unknown;
    try {
      result = this.handlers.message(data, delivery);
    } catch (error) {
      this.calls.left();
      return this.threw(delivery, error);
    }
    const promise = promiseOf(result);
    if (promise) {
      promise.then(
        () => (this.calls.left(), this.returned(delivery)),
        (error: unknown) => (this.calls.left(), this.threw(delivery, error)),
      );
    } else {
      this.calls.left();
      this.returned(delivery);
    }
  }

  private returned(delivery: QueueDelivery): void {
    if (this.options.ack === 'auto') this.acknowledged(delivery);
  }

  private threw(delivery: QueueDelivery, thrown: unknown): void {
    if (delivery.isSettled) this.context.onError(toError(thrown), { queue: this.queue, group: this.group, during: `the handler of message ${delivery.id}, after it had settled it` });
    const outcome = outcomeOf(thrown);
    if (outcome?.kind === 'drop') return void this.acknowledged(delivery);
    if (!this.close(delivery)) return;
    if (this.draining && delivery.isAborted) return; // we broke it off: whoever is next begins it anew
    if (outcome?.kind === 'dead-letter') this.giveUp(delivery, outcome.reason, toError(thrown));
    else this.failed(delivery, toError(thrown), outcome?.delayMs);
  }

  private failed({ place, held }: QueueDelivery, error: Error, delayMs: number | undefined): void {
    const { options, context, queue, group } = this;
    held.failures++;
    if (held.failures >= options.maxAttempts) {
      this.park(place, held, 'max-attempts', error);
    } else {
      held.recorded = true;
      const delay = Math.round(givenDelay(delayMs) ?? backoffDelay(options.backoff, held.failures, Math.random()));
      context.events.emit('queue.retried', { queue, group, shard: place.shard, id: held.id, attempt: held.failures, delayMs: delay, error });
      place.retry(held, delay);
    }
    this.pump();
  }

  private giveUp({ place, held }: QueueDelivery, reason: string, error: Error | undefined): void {
    held.failures++;
    this.park(place, held, reason, error);
    this.pump();
  }

  private park(shard: QueueShard, held: HeldMessage, reason: string, error: Error | undefined): void {
    const { queue, group, context } = this;
    shard.giveUp(held, deadLetterFields({ queue, group, shard: shard.shard, owner: shard.session ?? '' }, held, reason, error));
    context.events.emit('queue.deadLettered', { queue, group, shard: shard.shard, id: held.id, reason, attempt: held.failures + held.crashes, ...(error && { error }) });
  }

  /** @returns false when it has no say any more */
  private close(delivery: QueueDelivery): boolean {
    if (!this.calls.close(delivery)) return false;
    this.turns.end(delivery.held);
    if (delivery.place.holds(delivery.held)) return true;
    this.pump(); // it has made a place all the same, and what the next session was given may wait for just that
    return false;
  }

  private expired(delivery: QueueDelivery): void {
    const error = new HandlerTimeoutError(`${this.queue} message ${delivery.id}`, this.options.maxProcessingMs);
    this.threw(delivery, error);
    delivery.abort(error);
  }

  private lost(shard: QueueShard): void {
    const messages = shard.size;
    this.calls.abort(new MessageLostError(this.queue, 'session-lost'), (delivery) => delivery.place === shard);
    this.turns.endAll(shard);
    if (messages > 0) this.context.events.emit('queue.lost', { queue: this.queue, group: this.group, shard: shard.shard, messages });
  }

  private async leave(reason: 'closed' | 'name-in-use' | 'failed', error?: Error): Promise<void> {
    const { context, queue, group } = this;
    this.draining = true;
    this.stopped.abort();
    const unbegun = [...this.ready.slice(this.next), ...this.turns.waiting()];
    this.turns.dismiss();
    this.ready = [];
    this.next = 0;
    const until = performance.now() + context.drainMs + context.commandTimeoutMs;
    await Promise.all([
      ...this.shards.map((shard) => shard.stopReading(unbegun.filter((each) => each.shard === shard).map(({ held }) => held))),
      this.finish(),
    ]);
    const flushed = Promise.all(this.shards.map((shard) => shard.stored()));
    const done = new AbortController();
    await Promise.race([flushed, sleep(Math.max(0, until - performance.now()), done.signal)]);
    done.abort();
    this.calls.end();
    this.turns.endAll(); // other consumers of the process have suspects, too
    await Promise.all(this.shards.map((shard) => shard.leave()));
    context.events.emit('queue.terminated', { queue, group, reason, ...(error ? { error } : {}) });
  }

  /** Waits for the handlers that run, then breaks them off. */
  private async finish(): Promise<void> {
    if (await this.calls.settled(this.context.drainMs)) return;
    this.calls.abort(new MessageLostError(this.queue, 'shutdown'));
    await this.calls.settled(ABORT_GRACE_MS);
  }
}
