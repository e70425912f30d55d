import { resolveEngineOptions, type ResolvedEngineOptions } from './engine-options.js';
import { ClosedError, ConnectionError, InvalidOptionsError } from './errors/index.js';
import { checkStreamName, describe } from './keys/names.js';
import { DeadLetters } from './dead-letters/client.js';
import { FanoutClient } from './fanout/client.js';
import { resolveSubscriber } from './fanout/options.js';
import type { RoomHandlers } from './fanout/types.js';
import { LeaseClient } from './lease/client.js';
import { LeaseConsumer } from './lease/consumer.js';
import { resolveLeaseOptions } from './lease/options.js';
import { StreamTailer } from './lease/tailer.js';
import type { LeaseHandlers } from './lease/types.js';
import { PartitionClient } from './partition/client.js';
import { PartitionConsumer } from './partition/consumer.js';
import { resolvePartitionOptions } from './partition/options.js';
import { resolveRegistration, StreamRegistry } from './partition/registration.js';
import type { PartitionHandlers } from './partition/types.js';
import { QueueClient } from './queue/client.js';
import { QueueConsumer } from './queue/consumer.js';
import type { QueueHandlers } from './queue/handler-types.js';
import { resolveQueueConsumer } from './queue/options.js';
import { QueueRegistry, resolveQueueRegistration } from './queue/registration.js';
import { RedisStreamsEvents } from './observability/events.js';
import type { ConnectionOptions, ErrorContext, LeaseConsumerOptions, PartitionConsumerOptions, QueueConsumerOptions, QueueRegistration, RedisStreamsOptions, RoomHandlerOptions, StreamRegistration } from './options.js';
import { RedisConnection } from './redis/connection.js';
import { withDeadline } from './redis/deadline.js';
import { Mutex } from './redis/mutex.js';
import { resolveIdentity, type ConsumerIdentity } from './session/identity.js';

const DEFAULT = 'default';

interface Connection {
  readonly redis: RedisConnection;
  readonly tailer: StreamTailer;
  readonly client: LeaseClient;
  readonly registry: StreamRegistry;
  readonly partitions: PartitionClient;
  readonly fanout: FanoutClient;
  readonly queueRegistry: QueueRegistry;
  readonly queues: QueueClient;
  readonly deadLetters: DeadLetters;
}

/**
 * Everything of one application: connections, consumers, clients. Works without Nest; the Nest module is a
 * shell around one of these. No static state: two engines in one process do not see each other.
 */
export class RedisStreamsEngine {
  readonly events = new RedisStreamsEvents();
  private readonly resolved: ResolvedEngineOptions;
  private readonly identity: ConsumerIdentity;
  private readonly connections = new Map<string, Connection>();
  private readonly consumers = new Map<string, LeaseConsumer>();
  private readonly partitionConsumers = new Map<string, PartitionConsumer>();
  private readonly queueConsumers = new Map<string, QueueConsumer>();
  /** Messages suspected of ending the process run one at a time in all of it. */
  private readonly suspects = new Mutex();
  private starting: Promise<void> | undefined;
  private draining: Promise<void> | undefined;
  private stopping: Promise<void> | undefined;

  /** @throws InvalidOptionsError with every problem found. */
  constructor(private readonly options: RedisStreamsOptions = {}) {
    this.resolved = resolveEngineOptions(options);
    this.identity = resolveIdentity(options.consumerName);
    for (const [name, connection] of this.resolved.connections) this.addConnection(name, connection);
    // They have events of their own; the hook is to hear of them as well.
    this.events.on('connection.error', ({ connection, role, error }) => this.tell(error, { connection, during: `the ${role} connection` }));
    this.events.on('reader.error', ({ service, error }) => this.tell(error, { service, during: 'reading' }));
  }

  get consumerName(): string {
    return this.identity.name;
  }

  /** The lease capability of a connection. @throws InvalidOptionsError when no connection has that name. */
  leases(connection: string = DEFAULT): LeaseClient {
    return this.connection(connection).client;
  }

  /**
   * Consumes a service's streams with these handlers, once per service and connection. Starts with the engine,
   * or at once when that has started. @throws InvalidOptionsError
   */
  addLeaseConsumer(options: LeaseConsumerOptions, handlers: LeaseHandlers): LeaseConsumer {
    const path = `lease consumer of "${options.service}"`;
    const { value, problems } = resolveLeaseOptions(options, this.resolved.lease, [...this.connections.keys()], path);
    const key = consumerKey(value.connection, value.service);
    if (this.consumers.has(key)) problems.push({ path, message: `connection "${value.connection}" has an assigned handler for this service already` });
    if (typeof handlers?.assigned !== 'function') problems.push({ path: `${path}.assigned`, message: `must be a function (got ${describe(handlers?.assigned)})` });
    if (this.starting || this.draining || this.stopping) problems.push({ path, message: 'must be added before the engine is started' });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    const { redis, tailer } = this.connection(value.connection);
    const { events, identity } = this;
    const { session, commandTimeoutMs, drainMs } = this.resolved;
    const consumer = new LeaseConsumer(value, handlers, {
      redis, events, identity, session, commandTimeoutMs, drainMs, tailer,
      onError: (error, context) => this.report(error, { connection: value.connection, ...context }),
    });
    this.consumers.set(key, consumer);
    return consumer;
  }

  /** Partitioned streams of a connection. @throws InvalidOptionsError when no connection has that name. */
  partitions(connection: string = DEFAULT): PartitionClient {
    return this.connection(connection).partitions;
  }

  /** Registers a stream when the engine starts; after that, use `partitions().register`. @throws InvalidOptionsError */
  registerStream(registration: StreamRegistration): void {
    const { value, problems } = resolveRegistration(registration, this.resolved.partition.namespace, [...this.connections.keys()], `stream "${String(registration?.name)}"`);
    if (this.starting || this.stopping) problems.push({ path: value.stream, message: 'must be registered before the engine is started; use partitions().register(...) at run time' });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    this.connection(value.connection).registry.add(value);
  }

  /**
   * Consumes a registered stream's partitions in a group, once per group and connection. Starts with the engine.
   * @throws InvalidOptionsError
   */
  addPartitionConsumer(options: PartitionConsumerOptions, handlers: PartitionHandlers): PartitionConsumer {
    const path = `partition consumer of "${options?.stream}" in group "${options?.group}"`;
    const { value, problems } = resolvePartitionOptions(options, this.resolved.partition, { connections: [...this.connections.keys()], exclusive: this.identity.exclusive, path });
    const key = consumerKey(value.connection, `${value.stream}#${value.group}`);
    if (this.partitionConsumers.has(key)) problems.push({ path, message: `connection "${value.connection}" has a handler for this stream and group already` });
    if ((typeof handlers?.message === 'function') === (typeof handlers?.batch === 'function')) problems.push({ path, message: 'needs exactly one of the handlers "message" and "batch"' });
    if (this.starting || this.draining || this.stopping) problems.push({ path, message: 'must be added before the engine is started' });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    const { redis, registry } = this.connection(value.connection);
    const { events, identity } = this;
    const { session, commandTimeoutMs, drainMs } = this.resolved;
    const consumer = new PartitionConsumer(value, handlers, {
      redis, events, identity, session, commandTimeoutMs, drainMs,
      find: (stream, who, signal) => registry.get(stream, who, signal),
      alone: () => this.suspects.acquire(),
      rejoined: () => void registry.registerAll().catch((error: Error) => this.report(error, { connection: value.connection, during: 'registering streams again' })),
      onError: (error, context) => this.report(error, { connection: value.connection, ...context }),
    });
    this.partitionConsumers.set(key, consumer);
    return consumer;
  }

  /** Queues of a connection. @throws InvalidOptionsError when no connection has that name. */
  queues(connection: string = DEFAULT): QueueClient {
    return this.connection(connection).queues;
  }

  /** Registers a queue when the engine starts; after that, use `queues().register`. @throws InvalidOptionsError */
  registerQueue(registration: QueueRegistration): void {
    const { value, problems } = resolveQueueRegistration(registration, this.resolved.queue.namespace, [...this.connections.keys()], `queue "${String(registration?.name)}"`);
    if (this.starting || this.stopping) problems.push({ path: value.queue, message: 'must be registered before the engine is started; use queues().register(...) at run time' });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    this.connection(value.connection).queueRegistry.add(value);
  }

  /** Handles a registered queue's messages in a group, once per group and connection. Starts with the engine. @throws InvalidOptionsError */
  addQueueConsumer(options: QueueConsumerOptions, handlers: QueueHandlers): QueueConsumer {
    const path = `queue consumer of "${options?.queue}" in group "${options?.group ?? 'default'}"`;
    const { value, problems } = resolveQueueConsumer(options, this.resolved.queue, { connections: [...this.connections.keys()], path });
    const key = consumerKey(value.connection, `${value.queue}#${value.group}`);
    if (this.queueConsumers.has(key)) problems.push({ path, message: `connection "${value.connection}" has a handler for this queue and group already` });
    if (typeof handlers?.message !== 'function') problems.push({ path: `${path}.message`, message: `must be a function (got ${describe(handlers?.message)})` });
    if (this.starting || this.draining || this.stopping) problems.push({ path, message: 'must be added before the engine is started' });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    const { redis, queueRegistry } = this.connection(value.connection);
    const { events, identity } = this;
    const { session, commandTimeoutMs, drainMs } = this.resolved;
    const consumer = new QueueConsumer(value, handlers, {
      redis, events, identity, session, commandTimeoutMs, drainMs,
      find: async (queue, who, signal) => (await queueRegistry.get(queue, who, signal)).keys,
      alone: () => this.suspects.acquire(),
      rejoined: () => void queueRegistry.registerAll().catch((error: Error) => this.report(error, { connection: value.connection, during: 'registering queues again' })),
      onError: (error, context) => this.report(error, { connection: value.connection, ...context }),
    });
    this.queueConsumers.set(key, consumer);
    return consumer;
  }

  /** Rooms of a connection. @throws InvalidOptionsError when no connection has that name. */
  fanout(connection: string = DEFAULT): FanoutClient {
    return this.connection(connection).fanout;
  }

  /** Dead letters of all capabilities, over one connection. @throws InvalidOptionsError when no connection has that name. */
  deadLetters(connection: string = DEFAULT): DeadLetters {
    return this.connection(connection).deadLetters;
  }

  /** Subscribes to a room, or to all rooms that a pattern fits, when the engine starts. @throws InvalidOptionsError */
  addRoomHandler(options: RoomHandlerOptions, handlers: RoomHandlers): void {
    const { room, connection = DEFAULT, ...tuning } = options;
    const path = `handler of the room ${describe(room instanceof RegExp ? String(room) : room)}`;
    const { value, problems } = resolveSubscriber(tuning, this.resolved.fanout, path);
    if (!(room instanceof RegExp)) problems.push(...checkStreamName(room, `${path}.room`));
    if (!this.connections.has(connection)) problems.push({ path: `${path}.connection`, message: `must be one of the configured connections: ${[...this.connections.keys()].join(', ')} (got ${describe(connection)})` });
    if (typeof handlers?.message !== 'function') problems.push({ path: `${path}.message`, message: `must be a function (got ${describe(handlers?.message)})` });
    if (this.starting || this.draining || this.stopping) problems.push({ path, message: 'must be added before the engine is started; use fanout().join(...) at run time' });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    this.connection(connection).fanout.add({ room, tuning: value, handlers });
  }

  /**
   * Connects, registers streams and queues and starts all consumers. Idempotent.
   * @throws ConnectionError | ConsumerNameInUseError | StreamMismatchError | StreamNotRegisteredError | QueueMismatchError | ClosedError after a stop
   */
  start(): Promise<void> {
    if (!this.starting && (this.draining || this.stopping)) return Promise.reject(new ClosedError('the engine'));
    return (this.starting ??= this.startAll());
  }

  /** First half of `stop`: stops reading and hands streams to peers. Announcing, looking and claiming still work. */
  drain(): Promise<void> {
    return (this.draining ??= Promise.all([...this.all(), ...this.clients()].map((consumer) => consumer.stop())).then(() => undefined));
  }

  /** Drains, sends what is still to be announced, closes all connections. Idempotent; bounded; never rejects. */
  stop(): Promise<void> {
    return (this.stopping ??= this.stopAll());
  }

  private async startAll(): Promise<void> {
    let last: Error | undefined;
    const forget = this.events.on('connection.error', ({ error }) => (last = error));
    try {
      const registered = Promise.all([...this.connections.values()].flatMap(({ registry, queueRegistry }) => [registry.registerAll(), queueRegistry.registerAll()]));
      const consumers = registered.then(() => Promise.all([...this.all(), ...this.clients()].map((consumer) => consumer.start())));
      const waitMs = this.resolved.startTimeoutMs + Math.max(this.partitionConsumers.size > 0 ? this.resolved.partition.registrationWaitMs : 0, this.queueConsumers.size > 0 ? this.resolved.queue.registrationWaitMs : 0);
      await withDeadline(consumers, waitMs, () => new ConnectionError(`Redis did not answer within ${waitMs} ms${last ? `: ${last.message}` : ''}; is it running, and are the connection options right?`, last));
      for (const { redis } of this.connections.values()) void redis.probe();
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      forget();
    }
  }

  private all(): Array<LeaseConsumer | PartitionConsumer | QueueConsumer> {
    return [...this.consumers.values(), ...this.partitionConsumers.values(), ...this.queueConsumers.values()];
  }

  private clients(): FanoutClient[] {
    return [...this.connections.values()].map(({ fanout }) => fanout);
  }

  private async stopAll(): Promise<void> {
    await this.drain();
    const flushed = (closing: Promise<void>, during: string): Promise<void> =>
      withDeadline(closing, this.resolved.drainMs + this.resolved.commandTimeoutMs, () => new Error('not flushed in time')).catch((error: Error) => this.report(error, { during }));
    await Promise.all(
      [...this.connections.values()].flatMap(({ client, partitions, fanout, queues }) => [
        flushed(client.close(), 'sending the last announcements'), flushed(partitions.close(), 'sending the last messages'), flushed(fanout.close(), 'sending the last messages to rooms'),
        flushed(queues.close(this.resolved.drainMs), 'sending the last messages to queues'),
      ]),
    );
    for (const { redis, tailer, deadLetters } of this.connections.values()) {
      tailer.close();
      deadLetters.close();
      redis.close();
    }
  }

  private addConnection(name: string, options: ConnectionOptions): void {
    const redis = new RedisConnection(name, options, this.resolved.commandTimeoutMs, this.events);
    const client = new LeaseClient(redis, this.events, (service) => this.consumers.get(consumerKey(name, service)));
    const registry = new StreamRegistry(redis, this.identity.name, this.resolved.partition.registrationWaitMs);
    const partitions = new PartitionClient({
      redis, events: this.events, registry, connection: name, namespace: this.resolved.partition.namespace,
      consumer: (stream, group) => this.partitionConsumers.get(consumerKey(name, `${stream}#${group}`)),
    });
    const { events, identity, resolved: { session, commandTimeoutMs, drainMs } } = this;
    const fanout = new FanoutClient(this.resolved.fanout, { redis, events, identity, session, commandTimeoutMs, drainMs, onError: (error, context) => this.report(error, { connection: name, ...context }) });
    const queueRegistry = new QueueRegistry(redis, identity.name, this.resolved.queue.registrationWaitMs);
    const queueConsumer = (queue: string, group: string): QueueConsumer | undefined => this.queueConsumers.get(consumerKey(name, `${queue}#${group}`));
    const queues = new QueueClient({ redis, events, registry: queueRegistry, connection: name, defaults: this.resolved.queue, consumer: queueConsumer });
    const deadLetters = new DeadLetters({
      redis, events, by: identity.name, namespace: { partition: this.resolved.partition.namespace, queue: this.resolved.queue.namespace },
      stream: (stream) => registry.get(stream, 'dead letters'), queue: (queue) => queueRegistry.get(queue, 'dead letters'), rooms: () => fanout.stores(),
    });
    this.connections.set(name, { redis, tailer: new StreamTailer(redis), client, registry, partitions, fanout, queueRegistry, queues, deadLetters });
  }

  private connection(name: string): Connection {
    const found = this.connections.get(name);
    if (!found) throw new InvalidOptionsError([{ path: 'connection', message: `must be one of ${[...this.connections.keys()].join(', ')} (got ${describe(name)})` }]);
    return found;
  }

  private report(error: Error, context: ErrorContext): void {
    this.events.emit('error', { error, context });
    this.tell(error, context);
  }

  private tell(error: Error, context: ErrorContext): void {
    this.events.guard(() => this.options.onError?.(error, context));
  }
}

function consumerKey(connection: string, service: string): string {
  return `${connection}\u0000${service}`;
}
