/** The runtime lets one that is to take longer end at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** Timers that end together. */
export class Timers {
  private readonly pending = new Set<NodeJS.Timeout>();

  in(ms: number, call: () => void): void {
    const timer = setTimeout(() => {
      this.pending.delete(timer);
      call();
    }, Math.min(ms, LONGEST_MS));
    this.pending.add(timer);
  }

  clear(): void {
    for (const timer of this.pending) clearTimeout(timer);
    this.pending.clear();
  }
}
