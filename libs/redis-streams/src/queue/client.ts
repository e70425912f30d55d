import { ClosedError, InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import { objectOf } from '../keys/check.js';
import { checkPartName } from '../keys/names.js';
import { fullName } from '../keys/partition-keys.js';
import type { QueueProducerOptions, QueueRegistration } from '../options.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { RedisConnection } from '../redis/connection.js';
import type { QueueConsumer } from './consumer.js';
import type { QueueStats } from './handler-types.js';
import { removeGroup, setPaused, statsOf } from './inspect.js';
import type { ResolvedQueueDefaults } from './options.js';
import { QueueProducer } from './producer.js';
import { resolveQueueProducer } from './producer-options.js';
import { resolveQueueRegistration, type KnownQueue, type QueueRegistry } from './registration.js';

/** A queue by name. */
export interface QueueRef {
  readonly queue: string;
  /** Default: the option `queue.namespace`. */
  readonly namespace?: string;
}

export interface QueueClientContext {
  readonly redis: RedisConnection;
  readonly events: RedisStreamsEvents;
  readonly registry: QueueRegistry;
  readonly connection: string;
  readonly defaults: ResolvedQueueDefaults;
  consumer(queue: string, group: string): QueueConsumer | undefined;
}

/** Queues of one connection. Works in processes that consume nothing. */
export class QueueClient {
  private readonly producers = new Map<string, QueueProducer>();
  private closed = false;

  /** @internal */
  constructor(private readonly context: QueueClientContext) {}

  /**
   * Registers a queue at run time. Doing it again, here or elsewhere, changes nothing.
   * @throws QueueMismatchError when it is registered otherwise | InvalidOptionsError
   */
  async register(registration: QueueRegistration): Promise<void> {
    const { registry, connection, defaults } = this.context;
    const { value, problems } = resolveQueueRegistration({ connection, ...registration }, defaults.namespace, [connection], `queue "${String(registration?.name)}"`);
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    await registry.register(value);
  }

  /** The producer of a queue; the same one every time for the same options, until it is closed. @throws InvalidOptionsError | ClosedError */
  queue(ref: string | QueueRef, options?: QueueProducerOptions): QueueProducer {
    const name = this.nameOf(ref);
    const { redis, registry, defaults } = this.context;
    const { value, problems } = resolveQueueProducer(options, `producer of "${name}"`, defaults.producer);
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    const key = `${name} ${JSON.stringify(value)}`;
    const known = this.producers.get(key);
    if (known && !known.closed) return known;
    if (this.closed) throw new ClosedError('the queue client');
    const producer = new QueueProducer(redis, name, value, (signal) => registry.get(name, 'producer', signal));
    this.producers.set(key, producer);
    return producer;
  }

  /** What a group has yet to do, over all shards. @throws QueueNotRegisteredError */
  async stats(ref: string | QueueRef, group = 'default'): Promise<QueueStats> {
    const { queue, keys } = await this.known(ref, group);
    return statsOf(this.context.redis, queue, keys, group);
  }

  /** Nobody of the group takes messages until `resume`, also not consumers that come later. What a consumer holds already, at most its `prefetch`, is handled. */
  pause(ref: string | QueueRef, group = 'default'): Promise<void> {
    return this.control(ref, group, true);
  }

  resume(ref: string | QueueRef, group = 'default'): Promise<void> {
    return this.control(ref, group, false);
  }

  /**
   * Forgets a group that has no consumers any more; messages are kept until every group has settled them, so a group that nobody
   * consumes keeps all of them. @throws InvalidOptionsError while it has live consumers
   */
  async removeGroup(ref: string | QueueRef, group: string): Promise<void> {
    const { consumers } = await this.stats(ref, group);
    if (consumers > 0) throw new InvalidOptionsError([{ path: 'group', message: `"${group}" has ${consumers} live consumers; stop them first` }]);
    const { keys } = await this.known(ref, group);
    await Promise.all(keys.map((shard) => removeGroup(this.context.redis, shard, group)));
  }

  /** This process's consumer of a group, or undefined. */
  consumer(ref: string | QueueRef, group = 'default'): QueueConsumer | undefined {
    return this.context.consumer(this.nameOf(ref), group);
  }

  /** Stops this process's consumer of a group for good, as the end of the application would. @returns whether there was one */
  async shutdown(ref: string | QueueRef, group = 'default'): Promise<boolean> {
    const consumer = this.consumer(ref, group);
    await consumer?.stop();
    return consumer !== undefined;
  }

  /** @internal Closes all producers. @throws when sends had to be rejected */
  async close(timeoutMs: number): Promise<void> {
    this.closed = true;
    const closed = await Promise.all([...this.producers.values()].map((producer) => producer.close({ timeoutMs })));
    const unsent = closed.reduce((sum, producer) => sum + producer.unsent, 0);
    if (unsent > 0) throw new ClosedError('the queue client', `${unsent} messages could not be sent within ${timeoutMs} ms, and were rejected`);
  }

  private async control(ref: string | QueueRef, group: string, paused: boolean): Promise<void> {
    const { queue, keys } = await this.known(ref, group);
    await Promise.all(keys.map((shard) => setPaused(this.context.redis, shard, group, paused)));
    this.context.events.emit('queue.paused', { queue, group, paused });
  }

  private known(ref: string | QueueRef, group: string): Promise<KnownQueue> {
    const problems = checkPartName(group, 'group');
    if (problems.length > 0) return Promise.reject(new InvalidOptionsError(problems));
    return this.context.registry.get(this.nameOf(ref), `group "${group}"`);
  }

  private nameOf(ref: string | QueueRef): string {
    const wrong: OptionProblem[] = [];
    const { queue, namespace } = typeof ref === 'string' ? { queue: ref, namespace: undefined } : objectOf(ref, 'queue', wrong);
    const problems = [...wrong, ...checkPartName(queue, 'queue'), ...(namespace === undefined ? [] : checkPartName(namespace, 'namespace'))];
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    return fullName(namespace ?? this.context.defaults.namespace, queue);
  }
}
