import { Witness } from '../../support/witness.js';
import type { QueueClient, QueueConsumer, QueueConsumerOptions, QueueHandlers, RedisStreamsEngine, RedisStreamsOptions } from './engine.js';
import type { World } from './world.js';

export interface ConsumeOptions extends Omit<QueueConsumerOptions, 'queue'> {
  readonly engine?: RedisStreamsOptions;
}

/** A consumer that remembers everything that happened to it. */
export class Consumer extends Witness {
  constructor(engine: RedisStreamsEngine, readonly inner: QueueConsumer) {
    super(engine);
  }

  get client(): QueueClient { return this.engine.queues(); }

  /** Its session in this shard, while it lives. */
  session(shard = 0): string | undefined { return this.inner.sessions()[shard]; }

  /** Ends it cleanly, as the end of its application would. */
  stop(): Promise<void> { return this.engine.stop(); }
}

/** Not started yet. */
export function makeConsumer(world: World, queue: string, message: QueueHandlers['message'], { engine: options, ...tuning }: ConsumeOptions = {}): Consumer {
  const engine = world.engine(options ?? {});
  return new Consumer(engine, engine.addQueueConsumer({ queue, ...tuning }, { message }));
}

/** Started; the test's end stops it. */
export async function consume(world: World, queue: string, message: QueueHandlers['message'], options: ConsumeOptions = {}): Promise<Consumer> {
  const consumer = makeConsumer(world, queue, message, options);
  await consumer.engine.start();
  return consumer;
}
