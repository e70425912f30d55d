/** Ends when the work is aborted: by throwing the reason, as a handler that honours the signal does. */
export function untilAborted({ signal }: { readonly signal: AbortSignal }): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    else signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

export interface Gate { readonly opened: Promise<void>; open(): void }

export function gate(): Gate {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => { open = resolve; });
  return { opened, open };
}

/** Counts what runs at this moment under one name. */
export class Overlaps {
  readonly now = new Map<string, number>();
  /** Most of one name that were under way together. */
  overlap = 0;

  protected async during(name: string, body: () => unknown): Promise<void> {
    const running = (this.now.get(name) ?? 0) + 1;
    this.now.set(name, running);
    this.overlap = Math.max(this.overlap, running);
    try {
      await body();
    } finally {
      this.now.set(name, (this.now.get(name) ?? 1) - 1);
    }
  }
}
