import { waitUntil } from '../../../support/wait.js';
import type { QueueContext } from './engine.js';

export { type Gate, gate, untilAborted } from '../../support/handlers.js';

/** Keeps every call of a handler, in order, and how many there were at once. */
export class Runs {
  readonly contexts: QueueContext[] = [];
  /** Handlers that have begun and not ended. */
  running = 0;
  /** Most of them at once. */
  most = 0;

  handler(body: (context: QueueContext, n: number) => unknown = () => undefined): (data: unknown, context: QueueContext) => Promise<void> {
    return async (_, context) => {
      this.contexts.push(context);
      this.most = Math.max(this.most, ++this.running);
      try {
        await body(context, this.of(context.id, context.shard).length);
      } finally {
        this.running--;
      }
    };
  }

  get data(): unknown[] { return this.contexts.map(({ data }) => data); }

  /** `shard/id` of every call. */
  get ids(): string[] { return this.contexts.map(({ shard, id }) => `${shard}/${id}`); }

  of(id: string, shard = 0): QueueContext[] { return this.contexts.filter((context) => context.id === id && context.shard === shard); }

  ofData(data: unknown): QueueContext[] { return this.contexts.filter((context) => JSON.stringify(context.data) === JSON.stringify(data)); }

  async calls(count: number, timeoutMs = 20_000): Promise<readonly QueueContext[]> {
    await waitUntil(() => this.contexts.length >= count, { what: `${count} calls of the handler`, timeoutMs, intervalMs: 2 });
    return this.contexts;
  }
}

export const numbers = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);
