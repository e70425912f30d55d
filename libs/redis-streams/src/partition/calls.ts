import type { Delivery } from './delivery.js';

/** Handler calls of one partition: who still has a say, who still runs, who takes too long. */
export class Calls {
  /** Deliveries that wait for their outcome. */
  private readonly open = new Set<Delivery>();
  /** Calls that have not returned, also those nobody waits for any more. */
  private inside = 0;
  private readonly waiters = new Set<() => void>();
  private sweep: NodeJS.Timeout | undefined;

  constructor(
    private readonly maxMs: number,
    private readonly expired: (delivery: Delivery) => void,
  ) {}

  get size(): number {
    return this.open.size;
  }

  begin(delivery: Delivery): void {
    this.open.add(delivery);
    this.inside++;
    // One timer for all: at most it looks once per `maxMs` while there is anything to look at.
    this.sweep ??= setTimeout(() => this.look(), this.maxMs);
  }

  /** The handler has returned, whatever it said and whether or not anybody listens. */
  left(): void {
    if (--this.inside === 0) this.tell();
  }

  /** @returns false when its outcome is known already */
  close(delivery: Delivery): boolean {
    if (delivery.over) return false;
    delivery.over = true;
    this.open.delete(delivery);
    this.tell();
    return true;
  }

  abort(reason: Error): void {
    for (const delivery of this.open) delivery.abort(reason);
  }

  /** Nothing more is heard from any of them. */
  end(): void {
    clearTimeout(this.sweep);
    for (const delivery of this.open) delivery.over = true;
    this.open.clear();
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
    return this.inside === 0 && this.open.size === 0;
  }

  private tell(): void {
    if (this.waiters.size === 0 || !this.isQuiet) return;
    const waiters = [...this.waiters];
    this.waiters.clear();
    for (const call of waiters) call();
  }

  private look(): void {
    const now = performance.now();
    let earliest = Infinity;
    for (const delivery of this.open) {
      if (delivery.startedAt + this.maxMs <= now) this.expired(delivery);
      else earliest = Math.min(earliest, delivery.startedAt + this.maxMs);
    }
    this.sweep = earliest === Infinity ? undefined : setTimeout(() => this.look(), Math.max(1, earliest - now));
  }
}
