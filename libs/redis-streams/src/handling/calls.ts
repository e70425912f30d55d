/** One call of a handler, as far as its time is concerned. */
export interface Call {
  readonly startedAt: number;
  /** Settled, or given up: what the handler still says is not heard. */
  over: boolean;
  /** Among the open ones; kept by `Calls`. */
  index: number;
  /** Tells the handler that it works for nothing from here on. */
  abort(reason: Error): void;
}

/** Handler calls of one consumer, or of one partition: who still has a say, who still runs, who takes too long. */
export class Calls<T extends Call> {
  /** Deliveries that wait for their outcome. */
  private open: T[] = [];
  /** Calls that have not returned, also those nobody waits for any more. */
  private inside = 0;
  private readonly waiters = new Set<() => void>();
  private sweep: NodeJS.Timeout | undefined;

  constructor(
    private readonly maxMs: number,
    private readonly expired: (call: T) => void,
  ) {}

  get size(): number {
    return this.open.length;
  }

  begin(call: T): void {
    call.index = this.open.push(call) - 1;
    this.inside++;
    // One timer for all: at most it looks once per `maxMs` while there is anything to look at.
    this.sweep ??= setTimeout(() => this.look(), this.maxMs);
  }

  /** The handler has returned, whatever it said and whether or not anybody listens. */
  left(): void {
    if (--this.inside === 0) this.tell();
  }

  /** @returns false when its outcome is known already */
  close(call: T): boolean {
    if (call.over) return false;
    call.over = true;
    const last = this.open.pop()!;
    if (last !== call) {
      this.open[call.index] = last;
      last.index = call.index;
    }
    this.tell();
    return true;
  }

  /** `which`: those to be told; default all. */
  abort(reason: Error, which?: (call: T) => boolean): void {
    for (const call of [...this.open]) if (!call.over && (!which || which(call))) call.abort(reason);
  }

  /** Nothing more is heard from any of them. */
  end(): void {
    clearTimeout(this.sweep);
    for (const call of this.open) call.over = true;
    this.open = [];
    this.tell();
  }

  /** Calls back once, when every handler has returned and been heard; at once when that is so. @returns how not to be called */
  whenQuiet(call: () => void): () => void {
    if (this.isQuiet) call();
    else this.waiters.add(call);
    return () => void this.waiters.delete(call);
  }

  /** Resolves when every handler has returned and been heard, or after `ms`. @returns whether all have */
  async settled(ms: number): Promise<boolean> {
    if (this.isQuiet) return true;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => (forget(), resolve()), ms);
      const forget = this.whenQuiet(() => (clearTimeout(timer), resolve()));
    });
    return this.isQuiet;
  }

  private get isQuiet(): boolean {
    return this.inside === 0 && this.open.length === 0;
  }

  private tell(): void {
    if (this.waiters.size === 0 || !this.isQuiet) return;
    const waiters = [...this.waiters];
    this.waiters.clear();
    for (const call of waiters) call();
  }

  private look(): void {
    const now = performance.now();
    // A copy: what expires leaves its place to another, and others begin because of it.
    for (const call of [...this.open]) if (!call.over && call.startedAt + this.maxMs <= now) this.expired(call);
    let earliest = Infinity;
    for (const call of this.open) earliest = Math.min(earliest, call.startedAt + this.maxMs);
    this.sweep = earliest === Infinity ? undefined : setTimeout(() => this.look(), Math.max(1, earliest - now));
  }
}
