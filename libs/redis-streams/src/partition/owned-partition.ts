import { FencedError, HandlerTimeoutError, PartitionLostError, toError, type PartitionLossReason } from '../errors/index.js';
import { PartitionWindow, type WindowEntry } from '../kernel/partition-window.js';
import { Calls } from '../handling/calls.js';
import { outcomeOf } from '../handling/outcome.js';
import { CommitDraft } from './commit-draft.js';
import { Delays } from './delays.js';
import { type Delivery, type DeliveryHost, type RawMessage } from './delivery.js';
import { promiseOf } from '../handling/thenable.js';
import { deadLetterFields, UnreadableError, type DeliveryFactory } from './dispatch.js';
import type { ResolvedPartitionOptions } from './options.js';
import type { CommitAnswer, CommitItem, OpenedPartition } from './partition-store.js';
import type { PartitionOwnerHost } from './owner-host.js';
import { ownOf, saysMore } from './replayed.js';
import { SuspectTurns, Suspicion } from './suspicion.js';

/** How far messages may be read beyond a blocked key, in windows. */
const SPAN = 8;
const ABORT_GRACE_MS = 100;

/** One partition in this process's hands: its window, the handlers that run, and what is to be committed. */
export class OwnedPartition implements DeliveryHost {
  phase: 'loading' | 'active' | 'draining' | 'ended' = 'loading';
  /** Id of the last message read. */
  cursor: string;
  private readonly window: PartitionWindow<RawMessage>;
  private readonly calls: Calls<Delivery>;
  private readonly delays: Delays<RawMessage>;
  private paused = false;
  private pumping = false;
  private readonly suspicion: Suspicion;
  private readonly turns: SuspectTurns;
  /** Something is to be committed, and the committer knows. */
  private isDirty = false;
  private readonly draft: CommitDraft;

  constructor(
    readonly partition: number,
    readonly token: number,
    readonly key: string,
    opened: OpenedPartition,
    private readonly options: ResolvedPartitionOptions,
    private readonly deliveries: DeliveryFactory,
    private readonly host: PartitionOwnerHost,
  ) {
    this.cursor = opened.watermark;
    this.window = new PartitionWindow(
      { capacity: options.prefetch, span: options.prefetch * SPAN, serial: options.concurrency === 1 && !deliveries.batched },
      { watermark: opened.watermark, done: opened.done, failures: opened.failures },
    );
    this.delays = new Delays(this.window, options.backoff, () => this.pump());
    this.calls = new Calls(options.maxProcessingMs, (delivery) => this.expired(delivery));
    this.draft = new CommitDraft(partition, token, opened, this.window, host.keepMs);
    this.turns = new SuspectTurns(this.draft, () => host.alone(), () => host.flush(this));
    this.suspicion = new Suspicion(opened, options.maxCrashes, options.prefetch);
  }

  get stream(): string {
    return this.options.stream;
  }

  get group(): string {
    return this.options.group;
  }

  get session(): string {
    return this.host.session;
  }

  get lag(): number {
    return Math.max(0, this.draft.behind - 1);
  }

  get isSuspicious(): boolean {
    return this.suspicion.isActive;
  }

  /** Messages that may be read now. */
  get room(): number {
    return this.phase === 'active' && !this.paused ? this.window.room : 0;
  }

  /** Begins to hand messages over. */
  activate(): void {
    if (this.phase === 'loading') this.phase = 'active';
    this.pump();
  }

  /** What is being handled ends; nothing new begins. */
  setPaused(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    if (paused) return;
    this.pump();
    this.host.roomMade(this);
  }

  /** Messages that were read, in order. */
  feed(messages: readonly RawMessage[]): void {
    if (this.phase === 'ended' || messages.length === 0) return;
    for (const message of messages) this.window.push(message.id, message.key, message);
    this.cursor = messages.at(-1)!.id;
    this.pump();
  }

  acknowledge(delivery: Delivery): Promise<void> {
    if (!delivery.over && this.phase !== 'ended' && this.host.isLive()) this.settle(delivery);
    if (!delivery.acknowledged) return Promise.reject(new FencedError(`${this.stream}/${this.partition}`, this.token, 'ack'));
    return this.host.flush(this).catch((error: unknown) => {
      // Acknowledged before anybody here knew of the loss: the handler may have more to do, and shall know.
      if (error instanceof FencedError) delivery.abort(new PartitionLostError(this.stream, this.partition, 'fenced'));
      throw error;
    });
  }

  /** Hands over nothing more and waits for what runs; then aborts it. Resolves when no handler has a say any more. */
  async drain(reason: PartitionLossReason, ms: number): Promise<void> {
    if (this.phase === 'ended') return;
    this.phase = 'draining';
    this.delays.clear();
    if (await this.settled(ms)) return;
    this.calls.abort(new PartitionLostError(this.stream, this.partition, reason));
    await this.settled(ABORT_GRACE_MS);
  }

  /** Not ours any more: nothing is heard from its handlers. */
  end(reason: PartitionLossReason): void {
    if (this.phase === 'ended') return;
    this.phase = 'ended';
    this.delays.clear();
    if (this.calls.size > 0) this.calls.abort(new PartitionLostError(this.stream, this.partition, reason));
    this.calls.end();
    this.turns.over();
  }

  /** Resolves when every handler has returned, or after `ms`. @returns whether all have */
  settled(ms: number): Promise<boolean> {
    return this.calls.settled(ms);
  }

  whenQuiet(call: () => void): void {
    this.calls.whenQuiet(call);
  }

  /** What there is to commit at this moment. To be sent until answered, then given to `committed`. */
  commitItem(): CommitItem {
    this.isDirty = false;
    return this.draft.item(performance.now());
  }

  committed(item: CommitItem, answer: Exclude<CommitAnswer, 'FENCED'>): void {
    this.draft.accepted(item, answer);
    this.host.roomMade(this);
  }

  /** The server knows all that there is to know: handed over in this state, a last commit would say nothing. */
  get isStored(): boolean {
    return !this.isDirty && this.draft.isStored;
  }

  /** To be committed now and then though nothing was finished: to trim, and to notice a group destroyed or a tail lost. */
  get needsCommit(): boolean {
    const now = performance.now();
    return this.draft.needsTrim(now) || this.window.open > 0 || this.draft.isStale(now);
  }

  /** Read ahead is running out: a commit should not wait. */
  get isUrgent(): boolean {
    return this.window.room * 2 < this.options.prefetch;
  }

  /** Worth reading now: room for a good part of a window, or for anything when all that was read waits for a blocked key. */
  get wantsMore(): boolean {
    return this.room > 0 && (!this.isUrgent || (this.calls.size === 0 && !this.window.hasMore));
  }

  /** Will want more as soon as what it has is handled and committed. */
  get isFull(): boolean {
    return this.phase === 'active' && !this.paused && !this.wantsMore;
  }

  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    try {
      while (this.phase === 'active' && !this.paused && this.calls.size < (this.suspicion.isActive ? 1 : this.options.concurrency) && !this.turns.isBusy && this.host.isLive()) {
        if (!(this.suspicion.isActive ? this.nextSuspect() : this.next())) break;
      }
    } finally {
      this.pumping = false;
    }
    if (this.isDirty && this.isUrgent) this.host.dirty(this);
  }

  private changed(): void {
    if (this.isDirty) return;
    this.isDirty = true;
    this.host.dirty(this);
  }

  private next(): boolean {
    const entries = this.deliveries.take(this.window);
    // One that has failed is given out alone.
    if (entries.length > 0 && !this.delays.keeps(entries[0]!)) this.start(entries);
    return entries.length > 0;
  }

  private start(taken: ReadonlyArray<WindowEntry<RawMessage>>): void {
    const entries = saysMore(taken) ? ownOf(taken, this.group, (other) => (this.window.done(other), this.changed())) : taken;
    if (entries.length === 0) return this.turns.over();
    let delivery: Delivery;
    try {
      delivery = this.deliveries.make(this, entries, performance.now());
    } catch (error) {
      // Unreadable: only ever thrown for one of them. The others are as they were.
      const { entry, reason } = error as UnreadableError;
      this.park(entry, reason, error as Error);
      for (const other of [...entries].reverse()) if (other !== entry && this.window.putBack(other)) this.window.retry(other);
      this.turns.over();
      return;
    }
    this.calls.begin(delivery);
    let result: unknown;
    try {
      result = this.deliveries.call(delivery);
    } catch (error) {
      this.calls.left();
      this.failed(delivery, error);
      return;
    }
    const promise = promiseOf(result);
    if (!promise) return this.calls.left(), this.returned(delivery);
    promise.then(
      () => (this.calls.left(), this.returned(delivery)),
      (error: unknown) => (this.calls.left(), this.failed(delivery, error)),
    );
  }

  private returned(delivery: Delivery): void {
    if (!delivery.over && this.options.ack !== 'manual') this.settle(delivery);
  }

  private settle(delivery: Delivery): void {
    if (!this.close(delivery)) return;
    delivery.acknowledged = true;
    for (const entry of delivery.entries) this.window.done(entry);
    this.moveOn();
  }

  private failed(delivery: Delivery, thrown: unknown): void {
    if (delivery.acknowledged && !delivery.isAborted) this.host.failedLate(this, delivery.entries[0]!.id, toError(thrown));
    if (!this.close(delivery)) return;
    if (this.phase === 'draining' && delivery.isAborted) return; // we broke it off: the next owner begins it anew
    const error = toError(thrown);
    const outcome = outcomeOf(thrown);
    for (const entry of [...delivery.entries].reverse()) {
      if (outcome?.kind === 'drop') this.window.done(entry);
      else if (outcome?.kind === 'dead-letter' || entry.failures + 1 >= this.options.maxAttempts) {
        entry.failures++;
        this.park(entry, outcome?.kind === 'dead-letter' ? outcome.reason : 'max-attempts', error);
      } else this.host.retried(this, entry, this.delays.begin(entry, outcome?.delayMs), error);
    }
    this.moveOn();
  }

  private park(entry: WindowEntry<RawMessage>, reason: string, error: Error | undefined): void {
    this.draft.park({ id: entry.id, fields: deadLetterFields(this, entry, reason, error) });
    this.host.deadLettered(this, entry, reason, error);
    this.window.done(entry);
    this.changed();
  }

  /** @returns false when the delivery has no say any more */
  private close(delivery: Delivery): boolean {
    return this.calls.close(delivery) && this.phase !== 'ended';
  }

  private moveOn(): void {
    this.turns.over();
    this.changed();
    this.pump();
  }

  /** Owners died here again and again: see Suspicion. */
  private nextSuspect(): boolean {
    const entry = this.window.take();
    if (!entry) return false;
    if (this.delays.keeps(entry)) return true;
    const crashes = this.suspicion.crashesOf(entry.id);
    switch (this.suspicion.verdict(entry.id)) {
      case 'clear':
        this.start([entry]);
        break;
      case 'culprit':
        entry.failures++;
        this.park(entry, 'crashed', new Error(`its process died ${crashes} times while it ran alone`));
        void this.turns.settle().then(() => this.pump());
        break;
      case 'suspect':
        void this.turns.begin({ id: entry.id, crashes }, () => this.startSuspect(entry)).then(() => this.pump());
    }
    return true;
  }

  private startSuspect(entry: WindowEntry<RawMessage>): boolean {
    const may = this.phase === 'active' && this.host.isLive();
    if (may) this.start([entry]);
    return may;
  }

  private expired(delivery: Delivery): void {
    const error = new HandlerTimeoutError(`${this.stream}/${this.partition} message ${delivery.entries[0]!.id}`, this.options.maxProcessingMs);
    this.failed(delivery, error); // first: what is aborted while draining counts as broken off by us
    delivery.abort(error);
  }
}
