import { waitUntil } from '../../../support/wait.js';
import { Witness } from '../../support/witness.js';
import type { PartitionClient, PartitionConsumer, PartitionConsumerOptions, PartitionHandlers, RedisStreamsEngine, RedisStreamsOptions } from './engine.js';

export interface StartOptions extends Omit<PartitionConsumerOptions, 'stream' | 'group'> {
  /** Default: `group`. */
  readonly group?: string;
  readonly engine?: RedisStreamsOptions;
}

/** A started consumer that remembers everything that happened to it. */
export class Consumer extends Witness {
  constructor(engine: RedisStreamsEngine, readonly inner: PartitionConsumer, readonly stream: string, readonly group: string) {
    super(engine);
  }

  get client(): PartitionClient { return this.engine.partitions(); }

  get session(): string | undefined { return this.inner.session; }

  /** Partitions it handles at present, ascending. */
  get owned(): number[] { return this.inner.owned().map(({ partition }) => partition).sort((a, b) => a - b); }

  /** Ends it cleanly, as the end of its application would. */
  stop(): Promise<void> { return this.engine.stop(); }

  /** Waits until it handles exactly so many partitions. */
  async owns(count: number, timeoutMs = 20_000): Promise<number[]> {
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
