/** Looks at the shard one at a time: at once, or when something is due. */
export class Looks {
  private looking: Promise<void> | undefined;
  private again = false;
  private timer: NodeJS.Timeout | undefined;
  private dueAt = 0;
  private stopped = false;

  /** `once`: looks; resolves with whether it is of use to look again as soon as somebody asks. Never rejects. */
  constructor(private readonly once: () => Promise<boolean>) {}

  /** Something may have changed. */
  look(): void {
    this.again = true;
    if (!this.stopped) this.looking ??= this.run();
  }

  /** Something is due in so many ms: look then. */
  expect(ms: number): void {
    if (this.stopped) return;
    const at = performance.now() + ms;
    if (this.timer && this.dueAt <= at) return;
    clearTimeout(this.timer);
    this.dueAt = at;
    // Bounded: beyond 24 days a timer fires at once.
    this.timer = setTimeout(() => ((this.timer = undefined), this.look()), Math.min(Math.max(0, ms), 3_600_000) + 1);
  }

  /** Nothing is due that is ours to see. */
  forget(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** Resolves when no look is under way. */
  async quiet(): Promise<void> {
    await this.looking;
  }

  /** The last look ends, and there is no other. */
  stop(): Promise<void> {
    this.stopped = true;
    this.forget();
    return this.quiet();
  }

  /** Between the last time it asks whether to look again and its end nothing may come: whoever asked then would not be heard. */
  private async run(): Promise<void> {
    await Promise.resolve(); // `looking` is set by then
    try {
      while (this.again && !this.stopped) {
        this.again = false;
        if (!(await this.once())) break;
      }
    } finally {
      this.looking = undefined;
    }
  }
}
