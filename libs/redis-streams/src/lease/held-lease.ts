import { FencedError, LeaseAbortedError, type AbortReason } from '../errors/index.js';
import { compareStreamIds, isStreamId } from '../kernel/stream-id.js';
import type { Grant, SettleOperation, SettleStatus } from './store.js';
import type { EntriesOptions, StreamEntry, StreamInfo, StreamLease } from './types.js';

/** Settle operations after which the lease is no longer this process's. */
export type EndOperation = Exclude<SettleOperation, 'checkpoint'>;

/** What a lease needs of its consumer. */
export interface LeaseHost {
  readonly service: string;
  readonly session: string;
  settle(lease: HeldLease, operation: SettleOperation, a: string, b: string): Promise<SettleStatus>;
  entries(lease: HeldLease, options: EntriesOptions): AsyncIterableIterator<StreamEntry>;
  /** The lease has ended with this operation, accepted by the server. */
  ended(lease: HeldLease, operation: SettleOperation, detail: string): void;
  checkpointed(lease: HeldLease): void;
  /** The server refused: somebody else owns the stream, or it is finished. */
  fenced(lease: HeldLease, operation: SettleOperation): void;
}

/**
 * A stream this process owns. Thousands of them may be held, so it carries no timer and no closure of its
 * own, and makes its AbortController only when a handler asks for the signal.
 */
export class HeldLease implements StreamLease {
  readonly entryId: string;
  readonly token: number;
  readonly attempt: number;
  /** Failures in a row up to now; progress resets them, here as on the server. */
  failuresSoFar: number;
  readonly recovered: boolean;
  readonly previousOwner?: string;
  lastCheckpoint?: string;
  readonly startedAt = performance.now();
  /** A handler is running on it. */
  running = false;
  private state: 'open' | 'ended' | 'fenced' = 'open';
  private aborted: LeaseAbortedError | undefined;
  /** The end that is under way or accepted. */
  private ending: { readonly operation: EndOperation; readonly outcome: Promise<void> } | undefined;
  private controller: AbortController | undefined;
  private listeners: Set<() => void> | undefined;

  constructor(
    private readonly host: LeaseHost,
    grant: Grant,
    readonly stream: string,
    readonly info: StreamInfo,
  ) {
    this.entryId = grant.entryId;
    this.token = grant.token;
    this.attempt = grant.attempt;
    this.failuresSoFar = grant.failures;
    this.recovered = grant.source === 'takeover';
    if (grant.previous !== undefined) this.previousOwner = grant.previous;
    if (grant.checkpoint !== undefined) this.lastCheckpoint = grant.checkpoint;
  }

  get service(): string {
    return this.host.service;
  }

  get owner(): string {
    return this.host.session;
  }

  get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.aborted) this.controller.abort(this.aborted);
    }
    return this.controller.signal;
  }

  /** Still this process's to settle. */
  get isOpen(): boolean {
    return this.state === 'open';
  }

  /** An end has been asked of the server, and its answer is not in or was yes. */
  get isEnding(): boolean {
    return this.ending !== undefined;
  }

  get abortReason(): AbortReason | undefined {
    return this.aborted?.reason;
  }

  entries(options: EntriesOptions = {}): AsyncIterableIterator<StreamEntry> {
    return this.host.entries(this, options);
  }

  checkpoint(entryId: string): Promise<void> {
    return heard(this.saveCheckpoint(entryId));
  }

  private async saveCheckpoint(entryId: string): Promise<void> {
    if (!isStreamId(entryId)) throw new TypeError(`checkpoint of "${this.stream}" needs a stream entry id like 1700000000000-0, got ${String(entryId)}`);
    await this.settle('checkpoint', entryId);
    if (!this.lastCheckpoint || compareStreamIds(entryId, this.lastCheckpoint) > 0) this.failuresSoFar = 0;
    this.lastCheckpoint = entryId;
    this.host.checkpointed(this);
  }

  done(): Promise<void> {
    return heard(this.end('done'));
  }

  release(): Promise<void> {
    return heard(this.end('release'));
  }

  deadLetter(reason: string): Promise<void> {
    return heard(this.end('dead', reason));
  }

  /** Fires the signal. A lease aborted for a reason that leaves it its own (shutdown, rebalance) may still settle. */
  abort(reason: AbortReason): void {
    const final = reason === 'session-lost' || reason === 'fenced';
    if (final && this.state === 'open') this.state = 'fenced';
    if (this.aborted) return;
    this.aborted = new LeaseAbortedError(this.stream, reason);
    this.controller?.abort(this.aborted);
    for (const listener of this.listeners ?? []) listener();
    this.listeners = undefined;
  }

  /** Throws what the signal carries. */
  throwIfAborted(): void {
    if (this.aborted) throw this.aborted;
    if (this.state === 'fenced') throw new LeaseAbortedError(this.stream, 'fenced');
  }

  /** @returns a function that removes the listener; it is called at once when the lease is aborted already. */
  onAbort(listener: () => void): () => void {
    if (this.aborted) listener();
    else (this.listeners ??= new Set()).add(listener);
    return () => void this.listeners?.delete(listener);
  }

  /**
   * Ends the lease with one accepted operation. The same end again has the same outcome; another end while one is
   * under way counts only if that one comes to nothing, and is refused otherwise: released is not done.
   */
  async end(operation: EndOperation, a = '', b = ''): Promise<void> {
    const earlier = this.ending;
    if (earlier?.operation === operation) return earlier.outcome;
    if (earlier) {
      await earlier.outcome.catch(() => undefined);
      if (this.state !== 'open') throw new FencedError(this.stream, this.token, operation);
      return this.end(operation, a, b);
    }
    const outcome = this.settleEnd(operation, a, b);
    this.ending = { operation, outcome };
    return outcome;
  }

  private async settleEnd(operation: EndOperation, a: string, b: string): Promise<void> {
    try {
      await this.settle(operation, a, b);
    } catch (error) {
      if (this.state === 'open') this.ending = undefined; // it may be tried again
      throw error;
    }
    // Accepted is a fact, also when the session was lost while the answer was on its way.
    this.state = 'ended';
    this.host.ended(this, operation, a);
    if (operation !== 'done') this.abort('released');
    else this.stopReaders();
  }

  private async settle(operation: SettleOperation, a = '', b = ''): Promise<void> {
    if (this.state !== 'open') throw new FencedError(this.stream, this.token, operation);
    const status = await this.host.settle(this, operation, a, b);
    if (status === 'OK') return;
    // A checkpoint behind our own end is refused too, but then nobody took the stream from us.
    if (this.isOpen && !(operation === 'checkpoint' && this.ending)) this.host.fenced(this, operation);
    throw new FencedError(this.stream, this.token, operation);
  }

  /** After `done`, iterators over the stream end quietly. */
  private stopReaders(): void {
    for (const listener of this.listeners ?? []) listener();
    this.listeners = undefined;
  }
}

/** Not everybody waits for it: what comes too late ends no process. */
function heard(settling: Promise<void>): Promise<void> {
  settling.catch(() => undefined);
  return settling;
}
