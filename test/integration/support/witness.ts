import { waitUntil } from '../../support/wait.js';
import type { RedisStreamsEngine, RedisStreamsEvent, RedisStreamsEventName } from './engine.js';

type EventOf<K extends RedisStreamsEventName> = Extract<RedisStreamsEvent, { type: K }>;

/** Remembers everything an engine has told. */
export class Witness {
  readonly events: RedisStreamsEvent[] = [];
  readonly errors: Error[] = [];

  constructor(readonly engine: RedisStreamsEngine) {
    engine.events.onAny((event) => this.events.push(event));
    engine.events.on('error', ({ error }) => this.errors.push(error));
  }

  all<K extends RedisStreamsEventName>(type: K): Array<EventOf<K>> {
    return this.events.filter((event): event is EventOf<K> => event.type === type);
  }

  async saw<K extends RedisStreamsEventName>(type: K, count = 1, timeoutMs = 10_000): Promise<Array<EventOf<K>>> {
    await waitUntil(() => this.all(type).length >= count, { what: `${count} events ${type}`, timeoutMs });
    return this.all(type);
  }
}
