import type { ResolvedEngineOptions } from './engine-options.js';
import { InvalidOptionsError, type OptionProblem } from './errors/index.js';
import { describe } from './keys/names.js';
import { LeaseConsumer } from './lease/consumer.js';
import { resolveLeaseOptions } from './lease/options.js';
import type { StreamTailer } from './lease/tailer.js';
import type { LeaseHandlers } from './lease/types.js';
import type { RedisStreamsEvents } from './observability/events.js';
import type { ErrorContext, LeaseConsumerOptions, PartitionConsumerOptions, QueueConsumerOptions } from './options.js';
import { PartitionConsumer } from './partition/consumer.js';
import { resolvePartitionOptions } from './partition/options.js';
import type { StreamRegistry } from './partition/registration.js';
import type { PartitionHandlers } from './partition/types.js';
import { QueueConsumer } from './queue/consumer.js';
import type { QueueHandlers } from './queue/handler-types.js';
import { resolveQueueConsumer } from './queue/options.js';
import type { QueueRegistry } from './queue/registration.js';
import type { RedisConnection } from './redis/connection.js';
import { Mutex } from './redis/mutex.js';
import { identityIn, type ConsumerIdentity } from './session/identity.js';

export type AnyConsumer = LeaseConsumer | PartitionConsumer | QueueConsumer;

/** Of one connection: what consumers are made of. */
export interface ConnectionParts {
  readonly redis: RedisConnection;
  readonly tailer: StreamTailer;
  readonly registry: StreamRegistry;
  readonly queueRegistry: QueueRegistry;
}

export interface EngineConsumersContext {
  readonly resolved: ResolvedEngineOptions;
  readonly identity: ConsumerIdentity;
  readonly events: RedisStreamsEvents;
  readonly connections: ReadonlyMap<string, ConnectionParts>;
  onError(error: Error, context: ErrorContext): void;
}

/** The consumers of an engine: one per connection and service, or group of a stream or queue. `refused`: why none may be added now. */
export class EngineConsumers {
  private readonly leases = new Map<string, LeaseConsumer>();
  private readonly partitions = new Map<string, PartitionConsumer>();
  private readonly queues = new Map<string, QueueConsumer>();
  /** Those that came at run time: they were started when they came. */
  private readonly late = new Set<AnyConsumer>();
  /** Messages suspected of ending the process run one at a time in all of it. */
  private readonly suspects = new Mutex();

  constructor(private readonly context: EngineConsumersContext) {}

  all(): AnyConsumer[] {
    return [...this.leases.values(), ...this.partitions.values(), ...this.queues.values()];
  }

  /** Those that start with the engine. */
  declared(): AnyConsumer[] {
    return this.all().filter((consumer) => !this.late.has(consumer));
  }

  atRunTime<T extends AnyConsumer>(consumer: T): T {
    this.late.add(consumer);
    return consumer;
  }

  /** How long the start may wait for others to register what is consumed here. */
  get registrationWaitMs(): number {
    const { partition, queue } = this.context.resolved;
    return Math.max(this.partitions.size > 0 ? partition.registrationWaitMs : 0, this.queues.size > 0 ? queue.registrationWaitMs : 0);
  }

  findLease(connection: string, service: string): LeaseConsumer | undefined {
    return this.leases.get(keyOf(connection, service));
  }

  findPartition(connection: string, stream: string, group: string): PartitionConsumer | undefined {
    return this.partitions.get(keyOf(connection, `${stream}#${group}`));
  }

  findQueue(connection: string, queue: string, group: string): QueueConsumer | undefined {
    return this.queues.get(keyOf(connection, `${queue}#${group}`));
  }

  forget(consumer: AnyConsumer): void {
    this.late.delete(consumer);
    for (const consumers of [this.leases, this.partitions, this.queues] as Array<Map<string, AnyConsumer>>) {
      for (const [key, known] of consumers) if (known === consumer) consumers.delete(key);
    }
  }

  /** @throws InvalidOptionsError */
  lease(options: LeaseConsumerOptions, handlers: LeaseHandlers, refused?: string): LeaseConsumer {
    const { resolved } = this.context;
    const path = `lease consumer of "${options.service}"`;
    const { value, problems } = resolveLeaseOptions(options, resolved.lease, this.names, path);
    const key = keyOf(value.connection, value.service);
    if (this.leases.has(key)) problems.push({ path, message: `connection "${value.connection}" has an assigned handler for this service already` });
    if (typeof handlers?.assigned !== 'function') problems.push({ path: `${path}.assigned`, message: `must be a function (got ${describe(handlers?.assigned)})` });
    throwIf(problems, path, refused);
    const { redis, tailer } = this.context.connections.get(value.connection)!;
    const consumer = new LeaseConsumer(value, handlers, { ...this.common(value.connection), redis, tailer });
    this.leases.set(key, consumer);
    return consumer;
  }

  /** @throws InvalidOptionsError */
  partition(options: PartitionConsumerOptions, handlers: PartitionHandlers, refused?: string): PartitionConsumer {
    const { resolved, identity } = this.context;
    const path = `partition consumer of "${options?.stream}" in group "${options?.group}"`;
    const { value, problems } = resolvePartitionOptions(options, resolved.partition, { connections: this.names, exclusive: identity.exclusive, path });
    const key = keyOf(value.connection, `${value.stream}#${value.group}`);
    if (this.partitions.has(key)) problems.push({ path, message: `connection "${value.connection}" has a handler for this stream and group already` });
    if ((typeof handlers?.message === 'function') === (typeof handlers?.batch === 'function')) problems.push({ path, message: 'needs exactly one of the handlers "message" and "batch"' });
    throwIf(problems, path, refused);
    const { redis, registry } = this.context.connections.get(value.connection)!;
    const consumer = new PartitionConsumer(value, handlers, {
      ...this.common(value.connection), redis,
      find: (stream, who, signal) => registry.get(stream, who, signal),
      alone: () => this.suspects.acquire(),
      rejoined: () => void registry.registerAll().catch((error: Error) => this.context.onError(error, { connection: value.connection, during: 'registering streams again' })),
    });
    this.partitions.set(key, consumer);
    return consumer;
  }

  /** @throws InvalidOptionsError */
  queue(options: QueueConsumerOptions, handlers: QueueHandlers, refused?: string): QueueConsumer {
    const path = `queue consumer of "${options?.queue}" in group "${options?.group ?? 'default'}"`;
    const { value, problems } = resolveQueueConsumer(options, this.context.resolved.queue, { connections: this.names, path });
    const key = keyOf(value.connection, `${value.queue}#${value.group}`);
    if (this.queues.has(key)) problems.push({ path, message: `connection "${value.connection}" has a handler for this queue and group already` });
    if (typeof handlers?.message !== 'function') problems.push({ path: `${path}.message`, message: `must be a function (got ${describe(handlers?.message)})` });
    throwIf(problems, path, refused);
    const { redis, queueRegistry } = this.context.connections.get(value.connection)!;
    const consumer = new QueueConsumer(value, handlers, {
      ...this.common(value.connection), redis, identity: identityIn(handlers.role, this.context.identity),
      find: async (queue, who, signal) => (await queueRegistry.get(queue, who, signal)).keys,
      alone: () => this.suspects.acquire(),
      rejoined: () => void queueRegistry.registerAll().catch((error: Error) => this.context.onError(error, { connection: value.connection, during: 'registering queues again' })),
    });
    this.queues.set(key, consumer);
    return consumer;
  }

  private get names(): string[] {
    return [...this.context.connections.keys()];
  }

  private common(connection: string) {
    const { events, identity, resolved: { session, commandTimeoutMs, drainMs } } = this.context;
    return { events, identity, session, commandTimeoutMs, drainMs, onError: (error: Error, context: ErrorContext) => this.context.onError(error, { connection, ...context }) };
  }
}

function throwIf(problems: readonly OptionProblem[], path: string, refused: string | undefined): void {
  const all = refused === undefined ? problems : [...problems, { path, message: refused }];
  if (all.length > 0) throw new InvalidOptionsError(all);
}

function keyOf(connection: string, name: string): string {
  return `${connection}\u0000${name}`;
}
