import type { StreamLease } from './engine.js';

/** Ends when the lease is aborted: by throwing the abort, as a handler that honours the signal does. */
export function untilAborted(lease: StreamLease): Promise<never> {
  return new Promise((_, reject) => {
    const { signal } = lease;
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

/** Keeps every run of a stream, in order, and how many run at this moment. */
export class Runs {
  readonly leases: StreamLease[] = [];
  readonly now = new Map<string, number>();
  /** Most runs of one stream that were under way together. */
  overlap = 0;

  handler(body: (lease: StreamLease, n: number) => unknown = () => undefined): (lease: StreamLease) => Promise<void> {
    return async (lease) => {
      this.leases.push(lease);
      const running = (this.now.get(lease.stream) ?? 0) + 1;
      this.now.set(lease.stream, running);
      this.overlap = Math.max(this.overlap, running);
      try {
        await body(lease, this.of(lease.stream).length);
      } finally {
        this.now.set(lease.stream, (this.now.get(lease.stream) ?? 1) - 1);
      }
    };
  }

  of(stream: string): StreamLease[] { return this.leases.filter((lease) => lease.stream === stream); }

  get streams(): string[] { return [...new Set(this.leases.map(({ stream }) => stream))]; }
}
