import { Overlaps } from '../../support/handlers.js';
import type { OutgoingMessage, PartitionContext } from './engine.js';

export { type Gate, gate, untilAborted } from '../../support/handlers.js';

/** Messages `m0`... as data, over so many keys `k0`... in turn. */
export function messages(count: number, keys = 1, from = 0): Array<OutgoingMessage<string> & { readonly key: string }> {
  return Array.from({ length: count }, (_, i) => ({ key: `k${(from + i) % keys}`, data: `m${from + i}` }));
}

/** Keeps every run of a message, in order, and sees keys that overlap or overtake themselves. */
export class Runs extends Overlaps {
  readonly contexts: PartitionContext[] = [];

  handler(body: (context: PartitionContext, n: number) => unknown = () => undefined): (data: unknown, context: PartitionContext) => Promise<void> {
    return async (_, context) => {
      this.contexts.push(context);
      await this.during(context.key ?? context.id, () => body(context, this.of(context.id).length));
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
