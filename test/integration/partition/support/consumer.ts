import { waitUntil } from '../../../support/wait.js';
import type {
  PartitionClient, PartitionConsumer, PartitionConsumerOptions, PartitionHandlers, RedisStreamsEngine, RedisStreamsEvent, RedisStreamsEventName,
  RedisStreamsOptions,
} from './engine.js';

export interface StartOptions extends Omit<PartitionConsumerOptions, 'stream' | 'group'> {
  /** Default: `group`. */
  readonly group?: string;
  readonly engine?: RedisStreamsOptions;
}

/** A started consumer that remembers everything that happened to it. */
export class Consumer {
  readonly events: RedisStreamsEvent[] = [];
  readonly errors: Error[] = [];

  constructor(readonly engine: RedisStreamsEngine, readonly inner: PartitionConsumer, readonly stream: string, readonly group: string) {
    engine.events.onAny((event) => this.events.push(event));
    engine.events.on('error', ({ error }) => this.errors.push(error));
  }

  get client(): PartitionClient { return this.engine.partitions(); }

  get session(): string | undefined { return this.inner.session; }

  /** Partitions it handles at present, ascending. */
  get owned(): number[] { return this.inner.owned().map(({ partition }) => partition).sort((a, b) => a - b); }

  /** Ends it cleanly, as the end of its application would. */
  stop(): Promise<void> { return this.engine.stop(); }

  all<K extends RedisStreamsEventName>(type: K): Array<Extract<RedisStreamsEvent, { type: K }>> {
    return this.events.filter((event): event is Extract<RedisStreamsEvent, { type: K }> => event.type === type);
  }

  async saw<K extends RedisStreamsEventName>(type: K, count = 1, timeoutMs = 10_000): Promise<Array<Extract<RedisStreamsEvent, { type: K }>>> {
    await waitUntil(() => this.all(type).length >= count, { what: `${count} events ${type}`, timeoutMs });
    return this.all(type);
  }

  /** Waits until it handles exactly so many partitions. */
  async owns(count: number, timeoutMs = 10_000): Promise<number[]> {
    await waitUntil(() => this.owned.length === count, { what: `it owns ${count} partitions`, timeoutMs });
    return this.owned;
  }
}

export async function startConsumer(
  make: (options: RedisStreamsOptions) => RedisStreamsEngine, stream: string,
  handlers: PartitionHandlers | PartitionHandlers['message'], { engine: options, group = 'group', ...tuning }: StartOptions,
): Promise<Consumer> {
  const engine = make(options ?? {});
  const inner = engine.addPartitionConsumer({ stream, group, ...tuning }, typeof handlers === 'function' ? { message: handlers } : handlers ?? {});
  const consumer = new Consumer(engine, inner, stream, group);
  await engine.start();
  return consumer;
}
