/** One at a time, first come first served. */
export class Mutex {
  private last: Promise<void> = Promise.resolve();

  /** Resolves with the function that lets the next one in; call it once. */
  acquire(): Promise<() => void> {
    const before = this.last;
    let release!: () => void;
    this.last = new Promise((resolve) => (release = resolve));
    return before.then(() => release);
  }
}
