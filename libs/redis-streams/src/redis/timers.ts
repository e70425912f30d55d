/** Timers that end together. */
export class Timers {
  private readonly pending = new Set<NodeJS.Timeout>();

  in(ms: number, call: () => void): void {
    const timer = setTimeout(() => {
      this.pending.delete(timer);
      call();
    }, ms);
    this.pending.add(timer);
  }

  clear(): void {
    for (const timer of this.pending) clearTimeout(timer);
    this.pending.clear();
  }
}
