import { EngineConsumers, type AnyConsumer, type ConnectionParts } from './engine-consumers.js';
import { resolveEngineOptions, type ResolvedEngineOptions } from './engine-options.js';
import { ClosedError, ConnectionError, InvalidOptionsError } from './errors/index.js';
import { checkStreamName, describe } from './keys/names.js';
import { DeadLetters } from './dead-letters/client.js';
import { FanoutClient } from './fanout/client.js';
import { checkHooks } from './fanout/messages.js';
import { resolveSubscriber } from './fanout/options.js';
import type { RoomHandlers } from './fanout/types.js';
import { LeaseClient } from './lease/client.js';
import type { LeaseConsumer } from './lease/consumer.js';
import { StreamTailer } from './lease/tailer.js';
import type { LeaseHandlers } from './lease/types.js';
import { PartitionClient } from './partition/client.js';
import type { PartitionConsumer } from './partition/consumer.js';
import { resolveRegistration, StreamRegistry } from './partition/registration.js';
import type { PartitionHandlers } from './partition/types.js';
import { QueueClient } from './queue/client.js';
import type { QueueConsumer } from './queue/consumer.js';
import type { QueueHandlers } from './queue/handler-types.js';
import { QueueRegistry, resolveQueueRegistration } from './queue/registration.js';
import { RedisStreamsEvents } from './observability/events.js';
import type { ConnectionOptions, ErrorContext, LeaseConsumerOptions, PartitionConsumerOptions, QueueConsumerOptions, QueueRegistration, RedisStreamsOptions, RoomHandlerOptions, StreamRegistration } from './options.js';
import { RedisConnection } from './redis/connection.js';
import { withDeadline } from './redis/deadline.js';
import { resolveIdentity, type ConsumerIdentity } from './session/identity.js';

const DEFAULT = 'default';

interface Connection extends ConnectionParts {
  readonly client: LeaseClient;
  readonly partitions: PartitionClient;
  readonly fanout: FanoutClient;
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
  private readonly consumers: EngineConsumers;
  /** What is built on this engine, and ends before its connections do. */
  private readonly closers = new Set<() => Promise<void>>();
  private hasClosed = false;
  private starting: Promise<void> | undefined;
  private draining: Promise<void> | undefined;
  private stopping: Promise<void> | undefined;

  /** @throws InvalidOptionsError with every problem found. */
  constructor(private readonly options: RedisStreamsOptions = {}) {
    this.resolved = resolveEngineOptions(options);
    this.identity = resolveIdentity(options.consumerName);
    this.consumers = new EngineConsumers({
      resolved: this.resolved, identity: this.identity, events: this.events, connections: this.connections,
      onError: (error, context) => this.report(error, context),
    });
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
    return this.consumers.lease(options, handlers, this.late());
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
    return this.consumers.partition(options, handlers, this.late());
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
    return this.consumers.queue(options, handlers, this.late());
  }

  /** As `addPartitionConsumer`, at run time: resolves when it has joined its group. Ends with the engine, or by `release`. @throws also what `start` throws */
  async runPartitionConsumer(options: PartitionConsumerOptions, handlers: PartitionHandlers): Promise<PartitionConsumer> {
    return this.run(this.consumers.partition(options, handlers, this.ended()));
  }

  /** As `addQueueConsumer`, at run time: resolves when it has joined its group. Ends with the engine, or by `release`. @throws also what `start` throws */
  async runQueueConsumer(options: QueueConsumerOptions, handlers: QueueHandlers): Promise<QueueConsumer> {
    return this.run(this.consumers.queue(options, handlers, this.ended()));
  }

  /** Stops a consumer that was given at run time, and forgets it: its group may be given another. */
  async release(consumer: PartitionConsumer | QueueConsumer): Promise<void> {
    await consumer.stop();
    this.consumers.forget(consumer);
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
    problems.push(...checkHooks(handlers ?? {}, `${path}.`));
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
    return (this.draining ??= Promise.all([...this.consumers.all(), ...this.clients()].map((consumer) => consumer.stop())).then(() => undefined));
  }

  /** Drains, sends what is still to be announced, closes all connections. Idempotent; bounded; never rejects. */
  stop(): Promise<void> {
    return (this.stopping ??= this.stopAll());
  }

  private async startAll(): Promise<void> {
    try {
      const registered = Promise.all([...this.connections.values()].flatMap(({ registry, queueRegistry }) => [registry.registerAll(), queueRegistry.registerAll()]));
      await this.inTime(registered.then(() => Promise.all([...this.consumers.declared(), ...this.clients()].map((consumer) => consumer.start()))));
      for (const { redis } of this.connections.values()) void redis.probe();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  private async run<T extends AnyConsumer>(consumer: T): Promise<T> {
    try {
      await this.inTime(this.consumers.atRunTime(consumer).start());
      return consumer;
    } catch (error) {
      await consumer.stop();
      this.consumers.forget(consumer);
      throw error;
    }
  }

  /** Settles as `started` does. @throws ConnectionError when that takes longer than Redis is waited for at the start */
  private async inTime<T>(started: Promise<T>): Promise<T> {
    let last: Error | undefined;
    const forget = this.events.on('connection.error', ({ error }) => (last = error));
    const waitMs = this.resolved.startTimeoutMs + this.consumers.registrationWaitMs;
    try {
      return await withDeadline(started, waitMs, () => new ConnectionError(`Redis did not answer within ${waitMs} ms${last ? `: ${last.message}` : ''}; is it running, and are the connection options right?`, last));
    } finally {
      forget();
    }
  }

  /** Why a consumer of the application itself may not be added any more. */
  private late(): string | undefined {
    return this.starting || this.draining || this.stopping ? 'must be added before the engine is started' : undefined;
  }

  private ended(): string | undefined {
    return this.draining || this.stopping ? 'cannot be added: the engine is stopping' : undefined;
  }

  private clients(): FanoutClient[] {
    return [...this.connections.values()].map(({ fanout }) => fanout);
  }

  private async stopAll(): Promise<void> {
    await this.drain();
    const flushed = (closing: Promise<void>, during: string): Promise<void> =>
      withDeadline(closing, this.resolved.drainMs + this.resolved.commandTimeoutMs, () => new Error('not flushed in time')).catch((error: Error) => this.report(error, { during }));
    this.hasClosed = true;
    await Promise.all([...this.closers].map((close) => flushed(close(), 'closing the transport')));
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
    const client = new LeaseClient(redis, this.events, (service) => this.consumers.findLease(name, service));
    const registry = new StreamRegistry(redis, this.identity.name, this.resolved.partition.registrationWaitMs);
    const partitions = new PartitionClient({
      redis, events: this.events, registry, connection: name, namespace: this.resolved.partition.namespace,
      consumer: (stream, group) => this.consumers.findPartition(name, stream, group),
    });
    const { events, identity, resolved: { session, commandTimeoutMs, drainMs } } = this;
    const fanout = new FanoutClient(this.resolved.fanout, { redis, events, identity, session, commandTimeoutMs, drainMs, onError: (error, context) => this.report(error, { connection: name, ...context }) });
    const queueRegistry = new QueueRegistry(redis, identity.name, this.resolved.queue.registrationWaitMs);
    const queues = new QueueClient({ redis, events, registry: queueRegistry, connection: name, defaults: this.resolved.queue, consumer: (queue, group) => this.consumers.findQueue(name, queue, group) });
    const deadLetters = new DeadLetters({
      redis, events, by: identity.name, namespace: { partition: this.resolved.partition.namespace, queue: this.resolved.queue.namespace },
      stream: (stream) => registry.get(stream, 'dead letters'), queue: (queue) => queueRegistry.get(queue, 'dead letters'), rooms: () => fanout.stores(),
    });
    this.connections.set(name, { redis, tailer: new StreamTailer(redis), client, registry, partitions, fanout, queueRegistry, queues, deadLetters });
  }

  /** @internal Called in `stop`, when handlers have ended and before connections close. @returns a function that takes it back @throws ClosedError: too late */
  beforeClose(close: () => Promise<void>): () => void {
    if (this.hasClosed) throw new ClosedError('the engine');
    this.closers.add(close);
    return () => void this.closers.delete(close);
  }

  /** @internal */
  get timings(): Pick<ResolvedEngineOptions, 'queue' | 'partition' | 'commandTimeoutMs' | 'startTimeoutMs' | 'drainMs' | 'session'> {
    return this.resolved;
  }

  /** @internal What the transport builds on. */
  partsOf(connection: string = DEFAULT): ConnectionParts {
    return this.connection(connection);
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
