import { BackpressureError, type ClosedError } from '../errors/index.js';
import type { Budget, Sized } from '../redis/outbox.js';
import { Failed, type Settle } from '../redis/settle.js';

interface Waiting<I, R> {
  readonly item: I;
  readonly settle: Settle<R>;
  readonly place: number;
  readonly since: number;
}

export interface WaitingLineOptions<I, R> {
  readonly what: string;
  readonly budget: Budget;
  /** Who waits longer is told that there was no room. */
  readonly patienceMs: number;
  /** There is room for it. `since`: when it came. */
  hand(item: I, settle: Settle<R>, place: number, since: number): void;
}

/** Sends that wait for room in a producer, in the order of the calls. */
export class WaitingLine<I extends Sized, R> {
  /** Oldest first. */
  private readonly waiting = new Set<Waiting<I, R>>();
  private timer: NodeJS.Timeout | undefined;
  /** Those who ever came. They leave in that order. */
  private joined = 0;
  /** Who waits until so many have left; the first comes first. */
  private flushes: Array<{ readonly until: number; resolve(): void }> = [];
  private moving = false;

  constructor(private readonly options: WaitingLineOptions<I, R>) {}

  get length(): number {
    return this.waiting.size;
  }

  /** Whoever comes now has to wait: others do, or there is no room for it. */
  holds(item: I): boolean {
    return this.waiting.size > 0 || !this.options.budget.admits(item);
  }

  join(item: I, settle: Settle<R>, place: number): void {
    this.joined++;
    this.waiting.add({ item, settle, place, since: performance.now() });
    this.timer ??= this.watch(this.options.patienceMs);
  }

  /** There may be room. */
  advance(): void {
    if (this.moving) return; // what is handed over may make room by being refused
    this.moving = true;
    for (const each of this.waiting) {
      if (!this.options.budget.admits(each.item)) break;
      this.waiting.delete(each);
      this.options.hand(each.item, each.settle, each.place, each.since);
    }
    this.moving = false;
    this.rest();
  }

  /** Resolves when nobody who is here now waits. */
  flush(): Promise<void> {
    const until = this.joined;
    return this.waiting.size === 0 ? Promise.resolve() : new Promise((resolve) => this.flushes.push({ until, resolve }));
  }

  /** Rejects all. @returns how many */
  abandon(error: ClosedError): number {
    const { size } = this.waiting;
    this.end([...this.waiting], error);
    return size;
  }

  private watch(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.look(), ms);
  }

  private look(): void {
    const { patienceMs, what, budget } = this.options;
    this.timer = undefined;
    const now = performance.now();
    const late: Array<Waiting<I, R>> = [];
    for (const each of this.waiting) {
      if (each.since + patienceMs > now) break;
      late.push(each);
    }
    this.end(late, new BackpressureError(what, `${budget}, and there was no room for ${patienceMs} ms`));
    const [oldest] = this.waiting;
    if (oldest) this.timer = this.watch(Math.ceil(oldest.since + patienceMs - now));
  }

  private end(which: ReadonlyArray<Waiting<I, R>>, error: Error): void {
    const failed = new Failed(error);
    for (const each of which) {
      this.waiting.delete(each);
      each.settle(failed, each.place);
    }
    this.rest();
  }

  private rest(): void {
    const left = this.joined - this.waiting.size;
    while (this.flushes.length > 0 && this.flushes[0]!.until <= left) this.flushes.shift()!.resolve();
    if (this.waiting.size > 0) return;
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
