import type { OutgoingMessage, PartitionContext } from './engine.js';

/** Ends when the delivery is aborted: by throwing the reason, as a handler that honours the signal does. */
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

/** Messages `m0`... as data, over so many keys `k0`... in turn. */
export function messages(count: number, keys = 1, from = 0): Array<OutgoingMessage<string> & { readonly key: string }> {
  return Array.from({ length: count }, (_, i) => ({ key: `k${(from + i) % keys}`, data: `m${from + i}` }));
}

/** Keeps every run of a message, in order, and sees keys that overlap or overtake themselves. */
export class Runs {
  readonly contexts: PartitionContext[] = [];
  /** Most runs of one key that were under way together. */
  overlap = 0;
  private readonly now = new Map<string, number>();

  handler(body: (context: PartitionContext, n: number) => unknown = () => undefined): (data: unknown, context: PartitionContext) => Promise<void> {
    return async (_, context) => {
      this.contexts.push(context);
      const key = context.key ?? context.id;
      const running = (this.now.get(key) ?? 0) + 1;
      this.now.set(key, running);
      this.overlap = Math.max(this.overlap, running);
      try {
        await body(context, this.of(context.id).length);
      } finally {
        this.now.set(key, (this.now.get(key) ?? 1) - 1);
      }
    };
  }

  get data(): unknown[] { return this.contexts.map(({ data }) => data); }

  get ids(): string[] { return this.contexts.map(({ partition, id }) => `${partition}/${id}`); }

  /** Different messages. */
  get distinct(): number { return new Set(this.ids).size; }

  of(id: string): PartitionContext[] { return this.contexts.filter((context) => context.id === id); }

  ofPartition(partition: number): PartitionContext[] { return this.contexts.filter((context) => context.partition === partition); }

  ofKey(key: string): PartitionContext[] { return this.contexts.filter((context) => context.key === key); }
}
