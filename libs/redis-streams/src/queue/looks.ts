/** Looks at the shard one at a time: at once, or when something is due. */
export class Looks {
  private looking: Promise<void> | undefined;
  private one: Promise<boolean> | undefined;
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

  /** Resolves when the look that is under way has ended. There may be another by then: while much is due there always is. */
  async quiet(): Promise<void> {
    await this.one;
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
        this.one = this.once();
        if (!(await this.one)) break;
      }
    } finally {
      this.looking = undefined;
    }
  }
}
