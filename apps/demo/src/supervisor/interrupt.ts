/** Ctrl-C, SIGTERM and a closed terminal: the first asks for a graceful end, the second ends at once. */
export class Interrupt {
  private readonly controller = new AbortController();
  private readonly handlers = new Map<NodeJS.Signals, () => void>();

  constructor(private readonly onSecond: () => void) {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      const handler = (): void => (this.controller.signal.aborted ? this.onSecond() : this.controller.abort(new Interrupted()));
      this.handlers.set(signal, handler);
      process.on(signal, handler);
    }
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  get happened(): boolean {
    return this.controller.signal.aborted;
  }

  close(): void {
    for (const [signal, handler] of this.handlers) process.off(signal, handler);
  }
}

export class Interrupted extends Error {
  constructor() {
    super('interrupted');
  }
}
