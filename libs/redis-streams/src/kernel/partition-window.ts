import { compareStreamIds } from './stream-id.js';

/** A message between being read and being committed. */
export interface WindowEntry<T> {
  readonly id: string;
  /** Messages of one key are handled one after the other; without a key, in any order. */
  readonly key: string | undefined;
  readonly value: T;
  /** Rises in stream order. */
  readonly order: number;
  /** Failures so far, those under earlier owners included. */
  failures: number;
  /** When its next attempt is due, by the caller's clock; 0: at any time. */
  until: number;
  done: boolean;
}

/** What is known of an unfinished one that has failed: how often, and when its next attempt is due, if that is to be waited for. */
export type Failing = readonly [id: string, failures: number, until?: number];

/** What a commit has to say about a partition. Sending it again changes nothing. */
export interface Progress {
  /** Everything up to here is finished. */
  readonly watermark: string;
  /** Entries up to and with the watermark, counted from where the window began. */
  readonly passed: number;
  /** Finished ones beyond the watermark, ascending. */
  readonly done: readonly string[];
  /** Failures of unfinished ones. */
  readonly failures: readonly Failing[];
  /** How many this window has seen finished, for `committed`. */
  readonly finished: number;
}

export interface WindowBounds {
  /** Messages that may be unfinished, or finished and not yet committed: as many may run twice when the owner dies. */
  readonly capacity: number;
  /** Messages that may be read beyond the watermark, finished ones included: how far others run ahead of a blocked key. */
  readonly span: number;
  /**
   * The caller never has two entries out at once but for those it has told to have failed: then keys need no watching
   * before one fails.
   */
  readonly serial?: boolean;
}

export interface WindowStart {
  readonly watermark: string;
  /** Ascending. */
  readonly done: Iterable<string>;
  readonly failures: Iterable<Failing>;
}

/** Messages of a key that wait for the one before them. `running` counts those of the key that are being handled. */
interface Chain<T> {
  running: number;
  readonly waiting: Array<WindowEntry<T>>;
}

/**
 * Order and progress of one partition, as a value. Entries come in stream order; `take` gives out those that may be
 * handled now, such that no message of a key is given out before all earlier ones of that key are done; the
 * watermark is the last entry before which nothing is unfinished.
 *
 * The window is bounded by what is not yet *committed*, not by what is not yet handled: so an owner that dies
 * has at most `capacity` messages of a partition handled again.
 */
export class PartitionWindow<T> {
  private entries: Array<WindowEntry<T>> = [];
  private head = 0;
  /** Index of the first entry that was never given out. */
  private next = 0;
  private readonly chains = new Map<string, Chain<T>>();
  /** Entries whose turn has come although later ones were read before: their predecessor is done, or their delay is over. */
  private ready: Array<WindowEntry<T>> = [];
  private lastPassed: string;
  private passedCount = 0;
  private finishedCount = 0;
  private committedCount = 0;
  private readonly doneBefore: Set<string>;
  private readonly failedBefore: Map<string, Failing>;
  private readonly failing: Map<string, Failing>;
  private aheadCount = 0;
  private pushed = 0;
  /** Entries in all chains' `waiting`. */
  private waitingCount = 0;

  constructor(
    private readonly bounds: WindowBounds,
    start: WindowStart,
  ) {
    this.lastPassed = start.watermark;
    this.doneBefore = new Set(start.done);
    this.failedBefore = new Map([...start.failures].map((failing) => [failing[0], failing]));
    // Kept until their entries are read again: a commit before that must not forget them.
    this.failing = new Map(this.failedBefore);
  }

  get watermark(): string {
    return this.lastPassed;
  }

  /** Entries that may be read now. */
  get room(): number {
    const beyond = this.entries.length - this.head;
    const uncertain = beyond - this.aheadCount + this.finishedCount - this.committedCount;
    return Math.min(this.bounds.capacity - uncertain, this.bounds.span - beyond);
  }

  /** Entries read and not finished. */
  get open(): number {
    return this.entries.length - this.head - this.aheadCount;
  }

  /** Adds the next entry of the stream. */
  push(id: string, key: string | undefined, value: T): void {
    if (this.doneBefore.size + this.failedBefore.size > 0) this.forgetBefore(id);
    const done = this.doneBefore.delete(id);
    const before = this.failedBefore.get(id);
    if (before) this.failedBefore.delete(id);
    const entry: WindowEntry<T> = { id, key, value, order: this.pushed++, failures: before?.[1] ?? 0, until: before?.[2] ?? 0, done };
    this.entries.push(entry);
    if (!done) return;
    this.aheadCount++;
    this.advance();
  }

  /** The next entry that may be handled, or undefined. `joining`: keys that the caller's batch runs already. */
  take(joining?: ReadonlySet<string>): WindowEntry<T> | undefined {
    const next = joining && this.joined(joining);
    if (next) return next;
    const released = this.ready.shift();
    if (released) return released;
    while (this.next < this.entries.length) {
      const entry = this.entries[this.next++]!;
      if (entry.done) continue;
      const { key } = entry;
      if (key === undefined || (this.bounds.serial && this.chains.size === 0)) return entry;
      const chain = this.chains.get(key);
      if (!chain) {
        if (!this.bounds.serial) this.chains.set(key, { running: 1, waiting: [] });
        return entry;
      }
      if (joining?.has(key) && chain.waiting.length === 0) {
        chain.running++;
        return entry;
      }
      chain.waiting.push(entry);
      this.waitingCount++;
    }
    return undefined;
  }

  /** The next of a key that the batch runs already: while another batch ran, what followed has gathered behind it. */
  private joined(joining: ReadonlySet<string>): WindowEntry<T> | undefined {
    if (this.waitingCount === 0) return undefined;
    for (const key of joining) {
      const chain = this.chains.get(key);
      const entry = chain?.waiting.shift();
      if (!chain || !entry) continue;
      this.waitingCount--;
      chain.running++;
      return entry;
    }
    return undefined;
  }

  /** Finished: its key's next may run. */
  done(entry: WindowEntry<T>): void {
    if (entry.done) return;
    entry.done = true;
    this.aheadCount++;
    this.finishedCount++;
    if (entry.failures > 0) this.failing.delete(entry.id);
    if (this.entries[this.head] === entry) this.advance();
    this.release(entry);
  }

  /**
   * Failed, and to be handled again. Nothing of its key runs before it does.
   * @returns whether to call `retry` when its delay is over; false: it waits behind another one of its key.
   * Of several that ran in one batch, tell the last first.
   */
  failed(entry: WindowEntry<T>): boolean {
    this.failing.set(entry.id, [entry.id, ++entry.failures]);
    return this.putBack(entry);
  }

  /** Its next attempt is due then: for whoever has it by that time. Until `retry`, it is not given out here in any case. */
  delay(entry: WindowEntry<T>, until: number): void {
    entry.until = until;
    this.failing.set(entry.id, [entry.id, entry.failures, until]);
  }

  /** As `failed`, but not counted. */
  putBack(entry: WindowEntry<T>): boolean {
    const chain = entry.key === undefined ? undefined : this.chains.get(entry.key);
    if (!chain && entry.key !== undefined) this.chains.set(entry.key, { running: 1, waiting: [] });
    if (!chain || chain.running === 1) return true;
    chain.running--;
    chain.waiting.unshift(entry);
    this.waitingCount++;
    return false;
  }

  /** The delay of a failed entry is over. */
  retry(entry: WindowEntry<T>): void {
    this.ready.push(entry);
  }

  /** Whether anything could be given out now. Cheap, and may say yes when only blocked keys are left. */
  get hasMore(): boolean {
    return this.ready.length > 0 || this.next < this.entries.length;
  }

  /** The present state, for a commit. */
  progress(): Progress {
    const done: string[] = [];
    if (this.aheadCount > 0) for (let i = this.head; i < this.entries.length; i++) if (this.entries[i]!.done) done.push(this.entries[i]!.id);
    for (const id of this.doneBefore) done.push(id); // not read again yet, so after all that was
    return { watermark: this.lastPassed, passed: this.passedCount, done, failures: this.failing.size === 0 ? [] : [...this.failing.values()], finished: this.finishedCount };
  }

  /** A commit that carried `progress` was accepted: its entries no longer count against the capacity. */
  committed(progress: Progress): void {
    if (progress.finished > this.committedCount) this.committedCount = progress.finished;
  }

  private release(entry: WindowEntry<T>): void {
    if (entry.key === undefined || this.chains.size === 0) return;
    const chain = this.chains.get(entry.key);
    if (!chain || --chain.running > 0) return;
    const next = chain.waiting.shift();
    if (!next) {
      this.chains.delete(entry.key);
      return;
    }
    this.waitingCount--;
    chain.running = 1;
    this.ready.push(next);
  }

  /** Known from before and older than what is read now: trimmed meanwhile, so nobody will ever read it. */
  private forgetBefore(id: string): void {
    for (const known of this.doneBefore) {
      if (compareStreamIds(known, id) >= 0) break;
      this.doneBefore.delete(known);
    }
    for (const known of this.failedBefore.keys()) {
      if (compareStreamIds(known, id) >= 0) continue;
      this.failedBefore.delete(known);
      this.failing.delete(known);
    }
  }

  private advance(): void {
    while (this.head < this.entries.length && this.entries[this.head]!.done) {
      this.lastPassed = this.entries[this.head]!.id;
      this.head++;
      this.passedCount++;
      this.aheadCount--;
    }
    if (this.head > 64 && this.head * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.head);
      this.next = Math.max(0, this.next - this.head);
      this.head = 0;
    }
  }
}
