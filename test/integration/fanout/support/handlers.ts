import { waitUntil } from '../../../support/wait.js';
import type { RoomContext } from './engine.js';

export { type Gate, gate, untilAborted } from '../../support/handlers.js';

/** Keeps every call of a handler, in order. */
export class Seen {
  readonly contexts: RoomContext[] = [];

  handler(body: (context: RoomContext, n: number) => unknown = () => undefined): (data: unknown, context: RoomContext) => unknown {
    return (_, context) => {
      this.contexts.push(context);
      return body(context, this.contexts.length);
    };
  }

  get data(): unknown[] { return this.contexts.map(({ data }) => data); }

  get ids(): string[] { return this.contexts.map(({ id }) => id); }

  get last(): RoomContext { return this.contexts.at(-1)!; }

  async calls(count: number, timeoutMs = 20_000): Promise<readonly RoomContext[]> {
    await waitUntil(() => this.contexts.length >= count, { what: `${count} calls of the handler`, timeoutMs, intervalMs: 2 });
    return this.contexts;
  }
}
