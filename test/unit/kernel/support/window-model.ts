import { expect } from 'vitest';
import { type Failing, PartitionWindow, type Progress, type WindowEntry } from '../../../../libs/redis-streams/dist/kernel/partition-window.js';
import { compareStreamIds } from '../../../../libs/redis-streams/dist/kernel/stream-id.js';

export type Entry = WindowEntry<number>;

/** `fresh`: never given out, or waiting behind another one of its key; `delayed`: failed, `retry` not called yet. */
type State = 'fresh' | 'running' | 'delayed' | 'done';

interface Read {
  readonly index: number;
  readonly id: string;
  readonly order: number;
  readonly key: string | undefined;
  state: State;
  failures: number;
  until: number;
}

export interface Stored {
  readonly watermark: string;
  readonly done: readonly string[];
  readonly failures: readonly Failing[];
}

/** Ids whose order as text is not their order: 9-9 < 9-10 < 10-0. */
export function idOf(index: number): string {
  return `${9 + Math.floor(index / 20)}-${5 + (index % 20)}`;
}

/**
 * What a PartitionWindow promises, said as plainly as possible: lists, and a look at all of them for every question.
 * Everything done to the window is done to this too, and every answer compared.
 */
export class WindowModel {
  readonly window: PartitionWindow<number>;
  readonly read: Read[] = [];
  readonly delayed: Entry[] = [];
  readonly pending: Progress[] = [];
  readonly given = new Set<string>();
  private known: { done: string[]; failures: Map<string, Failing> };
  private committed = 0;
  private finished = 0;
  /** Length of the part of `read` that is done without a gap; never looked at again, so that long lives stay testable. */
  private passedCount = 0;

  constructor(
    readonly start: Stored,
    readonly capacity: number,
    readonly span: number,
    readonly serial = false,
  ) {
    this.window = new PartitionWindow({ capacity, span, serial }, start);
    this.known = { done: [...start.done], failures: new Map(start.failures.map((failing) => [failing[0], failing])) };
  }

  push(index: number, key: string | undefined): void {
    const id = idOf(index);
    const done = this.known.done.includes(id);
    this.read.push({ index, id, order: this.read.length, key, state: done ? 'done' : 'fresh', failures: this.known.failures.get(id)?.[1] ?? 0, until: this.known.failures.get(id)?.[2] ?? 0 });
    // Read now, or older than what is read now and so gone from the stream.
    this.known.done = this.known.done.filter((known) => compareStreamIds(known, id) > 0);
    for (const known of [...this.known.failures.keys()]) if (compareStreamIds(known, id) <= 0) this.known.failures.delete(known);
    this.window.push(id, key, index);
  }

  /** Takes what the window gives; checks that it may be given, and that nothing is kept back when nothing is given. */
  take(batch: readonly Entry[] = []): Entry | undefined {
    const more = this.window.hasMore;
    const entry = this.window.take(batch.length === 0 ? undefined : new Set(batch.flatMap(({ key }) => (key === undefined ? [] : [key]))));
    if (!entry) {
      same(this.eligible().map(({ id }) => id).join(), '');
      return undefined;
    }
    if (batch.length === 0) same(more, true); // a batch may also be joined by what waits behind its own keys
    this.accept(entry, batch);
    return entry;
  }

  /** `entry` was given out, to run together with `batch`. */
  accept(entry: Entry, batch: readonly Entry[]): void {
    const mine = this.find(entry);
    same(mine.state, 'fresh');
    same([entry.key, entry.value, entry.failures, entry.done].join(), [mine.key, mine.index, mine.failures, false].join());
    if (mine.until > 0) same(entry.until, mine.until);
    same(entry.order, mine.order);
    const early = this.before(mine).filter((other) => other.state !== 'done' && !batch.some(({ id }) => id === other.id));
    same(early.map(({ id }) => id).join(), '');
    mine.state = 'running';
    this.given.add(mine.id);
  }

  done(entry: Entry): void {
    const mine = this.find(entry);
    mine.state = 'done';
    this.finished++;
    this.window.done(entry);
  }

  failed(entry: Entry, counted: boolean): boolean {
    const mine = this.find(entry);
    if (counted) [mine.failures, mine.until] = [mine.failures + 1, 0];
    const first = counted ? this.window.failed(entry) : this.window.putBack(entry);
    same(first, this.before(mine).every(({ state }) => state === 'done'));
    mine.state = first ? 'delayed' : 'fresh';
    if (first) this.delayed.push(entry);
    // Not all callers have them wait.
    if (first && counted && mine.index % 3 > 0) this.window.delay(entry, (mine.until = mine.index * 10 + mine.failures));
    return first;
  }

  retry(entry: Entry): void {
    this.delayed.splice(this.delayed.indexOf(entry), 1);
    this.find(entry).state = 'fresh';
    this.window.retry(entry);
  }

  progress(): Progress {
    const progress = this.window.progress();
    const passed = this.passed();
    same(progress.watermark, this.read[passed - 1]?.id ?? this.start.watermark);
    same(progress.passed, passed);
    expect(progress.done).toEqual([...this.beyond().filter(({ state }) => state === 'done').map(({ id }) => id), ...this.known.done]);
    expect([...progress.failures].sort(byId)).toEqual(
      [...this.beyond().filter(({ state, failures }) => state !== 'done' && failures > 0).map(({ id, failures, until }): Failing => (until > 0 ? [id, failures, until] : [id, failures])), ...this.known.failures.values()].sort(byId),
    );
    this.pending.push(progress);
    return progress;
  }

  commit(progress: Progress): void {
    this.committed = Math.max(this.committed, progress.finished);
    this.window.committed(progress);
  }

  /** After every step. */
  check(): void {
    const passed = this.passed();
    const unfinished = this.beyond().filter(({ state }) => state !== 'done').length;
    const beyond = this.read.length - passed;
    const { window } = this;
    same(window.watermark, this.read[passed - 1]?.id ?? this.start.watermark);
    same(window.open, unfinished);
    same(window.room, Math.min(this.capacity - (unfinished + this.finished - this.committed), this.span - beyond));
    same(window.room >= 0, true);
    if (!window.hasMore) same(this.eligible().length, 0);
  }

  /** What `take` could give now to a batch of its own. */
  eligible(): Read[] {
    return this.beyond().filter((entry) => entry.state === 'fresh' && this.before(entry).every(({ state }) => state === 'done'));
  }

  /** Of the same key, read before it, and beyond the watermark. */
  private before({ index, key }: Read): Read[] {
    return key === undefined ? [] : this.beyond().filter((other) => other.key === key && other.index < index);
  }

  private beyond(): Read[] {
    return this.read.slice(this.passed());
  }

  private passed(): number {
    while (this.read[this.passedCount]?.state === 'done') this.passedCount++;
    return this.passedCount;
  }

  private find(entry: Entry): Read {
    return this.beyond().find(({ id }) => id === entry.id)!;
  }
}

/** `expect` is slow where it is asked a million times. */
function same(actual: unknown, expected: unknown): void {
  if (actual !== expected) expect(actual).toBe(expected);
}

function byId([a]: Failing, [b]: Failing): number {
  return compareStreamIds(a, b);
}

/** How much a value holds on to: lengths of all lists, maps and sets inside. */
export function footprint(value: unknown, seen = new Set<unknown>()): number {
  if (typeof value !== 'object' || value === null || seen.has(value)) return 0;
  seen.add(value);
  if (value instanceof Map) return value.size + [...value.values()].reduce<number>((sum, item) => sum + footprint(item, seen), 0);
  if (value instanceof Set) return value.size;
  return (Array.isArray(value) ? value.length : 0) + Object.values(value).reduce<number>((sum, item) => sum + footprint(item, seen), 0);
}
