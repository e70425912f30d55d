import type { QueueClient, QueueRef } from '../queue/client.js';
import type { QueueConsumer } from '../queue/consumer.js';
import type { QueueStats } from '../queue/handler-types.js';
import type { QueueProducer } from '../queue/producer.js';
import type { OutgoingQueueMessage, QueueSendOptions, SentQueueMessage } from '../queue/types.js';
import type { QueueProducerOptions, QueueRegistration } from '../options.js';

/**
 * Sends to queues, looks at their consumer groups and steers them, over one connection. Inject it by class for the default
 * connection, with `@InjectQueues('name')` for another. Works in any application, also one without handlers. Calls reach
 * Redis from `onApplicationBootstrap` on, until the module's `onApplicationShutdown`: also while handlers drain and listeners
 * close. Queues are named by the name they were registered under, or by name and namespace; a group not given is `default`.
 */
export class QueueService {
  constructor(private readonly client: QueueClient) {}

  /** Resolves with the message's place when Redis has it. @throws as {@link QueueProducer.send} */
  send(queue: string | QueueRef, data: unknown, options?: QueueSendOptions): Promise<SentQueueMessage> {
    return this.client.queue(queue).send(data, options);
  }

  /** Like {@link send} for many at once; results in the order given. @throws what the first one that failed threw */
  sendMany(queue: string | QueueRef, messages: readonly OutgoingQueueMessage[]): Promise<SentQueueMessage[]> {
    return this.client.queue(queue).sendMany(messages);
  }

  /** What `@InjectQueue` injects, for a queue known at run time; the same one every time for the same options, until it is closed. */
  queue(queue: string | QueueRef, options?: QueueProducerOptions): QueueProducer {
    return this.client.queue(queue, options);
  }

  /** Registers a queue at run time; again, here or elsewhere, changes nothing. @throws QueueMismatchError when it is registered otherwise */
  register(registration: QueueRegistration): Promise<void> {
    return this.client.register(registration);
  }

  /** What a group has yet to do, over all shards. @throws QueueNotRegisteredError */
  stats(queue: string | QueueRef, group?: string): Promise<QueueStats> {
    return this.client.stats(queue, group);
  }

  /** The group, in all processes, is given no messages until `resume`, restarts included. What runs goes on. */
  pause(queue: string | QueueRef, group?: string): Promise<void> {
    return this.client.pause(queue, group);
  }

  /** Ends a pause. */
  resume(queue: string | QueueRef, group?: string): Promise<void> {
    return this.client.resume(queue, group);
  }

  /** Forgets a group that has no consumers any more: nothing is kept for it from then on. @throws InvalidOptionsError while it has live ones */
  removeGroup(queue: string | QueueRef, group: string): Promise<void> {
    return this.client.removeGroup(queue, group);
  }

  /** This process's consumer of a group, with its `sessions()` and its `load()`, or undefined. */
  consumer(queue: string | QueueRef, group?: string): QueueConsumer | undefined {
    return this.client.consumer(queue, group);
  }

  /** Stops this process's consumer of a group for good, as the end of the application would. @returns whether there was one */
  shutdown(queue: string | QueueRef, group?: string): Promise<boolean> {
    return this.client.shutdown(queue, group);
  }
}
