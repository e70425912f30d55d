import { randomBytes } from 'node:crypto';
import { BackpressureError, ClosedError, ConnectionError, InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import { murmur2Partitioner } from '../kernel/partitioner.js';
import { objectOf } from '../keys/check.js';
import { checkKeys, describe } from '../keys/names.js';
import type { RedisConnection } from '../redis/connection.js';
import { withDeadline } from '../redis/deadline.js';
import { Budget } from '../redis/outbox.js';
import { Failed, together, type Settle } from '../redis/settle.js';
import { encode, encodeMessage, Outgoing } from './encode.js';
import type { ResolvedQueueProducer } from './producer-options.js';
import type { KnownQueue } from './registration.js';
import { ShardProducer } from './shard-producer.js';
import type { ClosedQueueProducer, OutgoingQueueMessage, QueueSendOptions, SentQueueMessage } from './types.js';
import { WaitingLine } from './waiting-line.js';

const CLOSE_MS = 5_000;
const MAX_CLOSE_MS = 2_147_483_647;
/**
 * So many messages in a row go to each shard while all have others under way: what is settled together then lies together in memory.
 * Dealt to many shards one by one, messages cost the process more, since it waits for memory; see `bench queue-cluster`, 12 shards over 3.
 */
const IN_A_ROW = 16;

/** Sends to one queue, batched per shard: a promise that resolved is stored, once. */
export class QueueProducer {
  private readonly id = randomBytes(8).toString('hex');
  private readonly what: string;
  private readonly budget: Budget;
  /** With `whenFull: 'wait'`. */
  private readonly line: WaitingLine<Outgoing, SentQueueMessage> | undefined;
  private readonly shards = new Map<number, ShardProducer>();
  private queue: KnownQueue | undefined;
  private lookup: Promise<void> | undefined;
  /** Sent before the queue was known. */
  private early: Array<{ readonly item: Outgoing; readonly settle: Settle<SentQueueMessage>; readonly place: number; readonly since: number }> = [];
  /** Whose turn it is, for how many more, and of how many. */
  private current: ShardProducer | undefined;
  private left = 0;
  private row = 1;
  private turn = Math.floor(Math.random() * 10_000);
  private closing: Promise<void> | undefined;
  private unsent = 0;
  private readonly ending = new AbortController();

  /** @internal */
  constructor(
    private readonly redis: RedisConnection,
    /** Full name of the queue. */
    readonly name: string,
    private readonly options: ResolvedQueueProducer,
    private readonly find: (signal: AbortSignal) => Promise<KnownQueue>,
  ) {
    this.what = `producer of "${name}"`;
    const { maxPending, maxPendingBytes, whenFull, sendTimeoutMs } = options;
    this.budget = new Budget(maxPending, maxPendingBytes, () => this.line?.advance());
    if (whenFull === 'wait') this.line = new WaitingLine({ what: this.what, budget: this.budget, patienceMs: sendTimeoutMs, hand: (item, settle, place, since) => this.put(item, settle, place, since) });
  }

  /** Whether it refuses messages. */
  get closed(): boolean {
    return this.closing !== undefined;
  }

  /**
   * Resolves when Redis has the message, and with `waitReplicas` so many replicas as well.
   * @throws BackpressureError (`maxPending` messages or `maxPendingBytes` are waiting already, see `whenFull`, or Redis is out of memory) |
   * ConnectionError (after `sendTimeoutMs`: it says whether the message may have been stored) | ReplicationError |
   * QueueNotRegisteredError | InvalidOptionsError (a message that cannot be sent) | ClosedError
   */
  send(data: unknown, options?: QueueSendOptions): Promise<SentQueueMessage> {
    if (this.closing) return Promise.reject(new ClosedError(this.what));
    let item: Outgoing;
    try {
      item = encode(data, options);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return this.add(item);
  }

  /** @internal As `send`, of data and headers that are JSON and checked already, without a promise: only a failure is told. */
  post(data: string, headers: string, failed: (error: unknown) => void): void {
    if (this.closing) return failed(new ClosedError(this.what));
    const item = new Outgoing(data, '', headers, '', '');
    this.hand(item, (result) => {
      if (result instanceof Failed) failed(result.error);
    }, 0);
  }

  /**
   * As `send` for each, in order. Resolves when all are settled.
   * @throws what the first one that failed threw; messages are not all or none, unless one of them cannot be sent at all
   */
  async sendMany(messages: readonly OutgoingQueueMessage[]): Promise<SentQueueMessage[]> {
    if (this.closing) throw new ClosedError(this.what);
    if (!Array.isArray(messages)) throw new InvalidOptionsError([{ path: 'messages', message: `must be an array (got ${describe(messages)})` }]);
    const items: Outgoing[] = [];
    // Not `map`: it would pass over a hole.
    for (let i = 0; i < messages.length; i++) items.push(encodeMessage(messages[i] as OutgoingQueueMessage, i));
    // However many they are: whoever has them all already holds them anyway.
    return together(items, (item, settle, place) => this.hand(item, settle, place, Infinity));
  }

  /** Resolves when everything sent so far has settled. */
  async flush(): Promise<void> {
    await this.line?.flush();
    await this.lookup;
    await Promise.all([...this.shards.values()].map(({ outbox }) => outbox.flush()));
  }

  /**
   * Refuses new messages and sends what is waiting. What has not settled after `timeoutMs` (default 5,000) is rejected with a
   * ClosedError. May be called again, also with less time. @returns how many sends were rejected like that
   */
  async close(options?: { readonly timeoutMs?: number }): Promise<ClosedQueueProducer> {
    const problems: OptionProblem[] = [];
    const given = objectOf(options, 'options', problems);
    const { timeoutMs = CLOSE_MS } = given;
    problems.push(...checkKeys(given, ['timeoutMs']));
    if (!(typeof timeoutMs === 'number' && timeoutMs >= 0)) problems.push({ path: 'timeoutMs', message: `must be a number of milliseconds from 0 (got ${describe(timeoutMs)})` });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    this.closing ??= this.end();
    await withDeadline(this.closing, Math.min(timeoutMs, MAX_CLOSE_MS), () => new Error('the time is up')).catch(() => this.abandon(timeoutMs));
    return { unsent: this.unsent };
  }

  private async end(): Promise<void> {
    await this.flush();
    await Promise.all([...this.shards.values()].map((shard) => shard.close()));
  }

  private abandon(timeoutMs: number): void {
    this.ending.abort();
    const waiting = new ClosedError(this.what, `its ${timeoutMs} ms to close were over before this message could be sent`);
    const underWay = new ClosedError(this.what, `this message was under way when its ${timeoutMs} ms to close were over; whether it was stored is unknown`);
    this.unsent += (this.line?.abandon(waiting) ?? 0) + this.rejectEarly(waiting);
    for (const shard of this.shards.values()) this.unsent += shard.abandon(waiting, underWay);
  }

  private add(item: Outgoing): Promise<SentQueueMessage> {
    if (this.queue && !this.line) return this.shardOf(this.queue, item).outbox.add(item);
    return new Promise((resolve) => this.hand(item, resolve, 0));
  }

  private hand(item: Outgoing, settle: Settle<SentQueueMessage>, place: number, mostWaiting = this.options.maxPending): void {
    const { line } = this;
    if (!line?.holds(item)) return this.put(item, settle, place);
    if (line.length < mostWaiting) line.join(item, settle, place);
    else settle(new Failed(new BackpressureError(this.what, `${this.budget}, and as many wait for room`)), place);
  }

  private put(item: Outgoing, settle: Settle<SentQueueMessage>, place: number, since?: number): void {
    if (this.queue) this.shardOf(this.queue, item).outbox.post(item, settle, place, since);
    else this.addEarly(item, settle, place, since);
  }

  private addEarly(item: Outgoing, settle: Settle<SentQueueMessage>, place: number, since = performance.now()): void {
    if (!this.budget.admits(item)) return settle(new Failed(new BackpressureError(this.what, `${this.budget}, and the queue is yet to be looked up`)), place);
    this.budget.take(item.bytes);
    this.early.push({ item, settle, place, since });
    this.lookup ??= this.look();
  }

  private look(): Promise<void> {
    const { sendTimeoutMs } = this.options;
    const late = (): Error => new ConnectionError(`${this.what}: the queue could not be looked up for ${sendTimeoutMs} ms; nothing was sent`);
    return withDeadline(this.find(this.ending.signal), sendTimeoutMs, late).then(
      (queue) => {
        this.queue = queue;
        const { early } = this;
        this.early = [];
        for (const { item, settle, place, since } of early) this.shardOf(queue, item).outbox.adopt(item, settle, place, since);
      },
      (error: Error) => {
        this.lookup = undefined;
        this.rejectEarly(error);
      },
    );
  }

  private rejectEarly(error: Error): number {
    const { early } = this;
    this.early = [];
    const failed = new Failed(error);
    for (const { item, settle, place } of early) {
      this.budget.release(1, item.bytes);
      settle(failed, place);
    }
    return early.length;
  }

  private shardOf(queue: KnownQueue, item: Outgoing): ShardProducer {
    const by = item.key || item.id;
    return by === '' ? this.next(queue) : this.shard(queue, murmur2Partitioner(by, queue.shards));
  }

  /** For a message that any shard may have: they take turns, which are as long for all of a round. One that is slow gets no more than the others. */
  private next(queue: KnownQueue): ShardProducer {
    if (this.current && this.left > 0) {
      this.left--;
      return this.current;
    }
    const shard = this.turn++ % queue.shards;
    if (shard === 0) this.row = this.allBusy(queue) ? IN_A_ROW : 1;
    this.left = this.row - 1;
    return (this.current = this.shard(queue, shard));
  }

  private allBusy({ shards }: KnownQueue): boolean {
    if (this.shards.size < shards) return false;
    for (const { outbox } of this.shards.values()) if (!outbox.busy) return false;
    return true;
  }

  private shard(queue: KnownQueue, shard: number): ShardProducer {
    let known = this.shards.get(shard);
    if (!known) this.shards.set(shard, (known = new ShardProducer(this.redis, queue, shard, this.id, this.options, this.budget)));
    return known;
  }
}
