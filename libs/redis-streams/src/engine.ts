import { ClosedError, ConnectionError, InvalidOptionsError, type OptionProblem } from './errors/index.js';
import { checkConsumerName, checkKeys, checkStreamName, describe } from './keys/names.js';
import { FanoutClient } from './fanout/client.js';
import { resolveFanout, resolveSubscriber, type ResolvedFanout } from './fanout/options.js';
import type { RoomHandlers } from './fanout/types.js';
import { LeaseClient } from './lease/client.js';
import { LeaseConsumer } from './lease/consumer.js';
import { resolveLeaseOptions, resolveLeaseTuning, type ResolvedLeaseTuning } from './lease/options.js';
import { StreamTailer } from './lease/tailer.js';
import type { LeaseHandlers } from './lease/types.js';
import { PartitionClient } from './partition/client.js';
import { PartitionConsumer } from './partition/consumer.js';
import { resolvePartitionDefaults, resolvePartitionOptions, type ResolvedPartitionDefaults } from './partition/options.js';
import { resolveRegistration, StreamRegistry } from './partition/registration.js';
import type { PartitionHandlers } from './partition/types.js';
import { RedisStreamsEvents } from './observability/events.js';
import type { ConnectionOptions, ErrorContext, LeaseConsumerOptions, PartitionConsumerOptions, RedisStreamsOptions, RoomHandlerOptions, StreamRegistration } from './options.js';
import { RedisConnection } from './redis/connection.js';
import { withDeadline } from './redis/deadline.js';
import { Mutex } from './redis/mutex.js';
import { resolveIdentity, type ConsumerIdentity } from './session/identity.js';
import { resolveSessionOptions, type ResolvedSession } from './session/options.js';

const DEFAULT = 'default';
const KNOWN = ['connection', 'connections', 'consumerName', 'session', 'commandTimeoutMs', 'startTimeoutMs', 'shutdown', 'lease', 'partition', 'fanout', 'onError'];

interface Connection {
  readonly redis: RedisConnection;
  readonly tailer: StreamTailer;
  readonly client: LeaseClient;
  readonly registry: StreamRegistry;
  readonly partitions: PartitionClient;
  readonly fanout: FanoutClient;
}

/**
 * Everything of one application: connections, consumers, clients. Works without Nest; the Nest module is a
 * shell around one of these. No static state: two engines in one process do not see each other.
 */
export class RedisStreamsEngine {
  readonly events = new RedisStreamsEvents();
  private readonly identity: ConsumerIdentity;
  private readonly session: ResolvedSession;
  private readonly tuning: ResolvedLeaseTuning;
  private readonly partitioning: ResolvedPartitionDefaults;
  private readonly rooms: ResolvedFanout;
  private readonly commandTimeoutMs: number;
  private readonly startTimeoutMs: number;
  private readonly drainMs: number;
  private readonly connections = new Map<string, Connection>();
  private readonly consumers = new Map<string, LeaseConsumer>();
  private readonly partitionConsumers = new Map<string, PartitionConsumer>();
  /** Messages suspected of ending the process run one at a time in all of it. */
  private readonly suspects = new Mutex();
  private starting: Promise<void> | undefined;
  private draining: Promise<void> | undefined;
  private stopping: Promise<void> | undefined;

  /** @throws InvalidOptionsError with every problem found. */
  constructor(private readonly options: RedisStreamsOptions = {}) {
    const problems: OptionProblem[] = [...checkKeys(options, KNOWN), ...checkKeys(options.shutdown ?? {}, ['drainMs'], 'shutdown')];
    const ms = (path: string, value: unknown, fallback: number, min: number, max: number): number => {
      if (value === undefined) return fallback;
      if (typeof value === 'number' && value >= min && value <= max) return value;
      problems.push({ path, message: `must be a number of milliseconds from ${min} to ${max} (got ${describe(value)})` });
      return fallback;
    };
    this.commandTimeoutMs = ms('commandTimeoutMs', options.commandTimeoutMs, 2_000, 50, 600_000);
    this.startTimeoutMs = ms('startTimeoutMs', options.startTimeoutMs, 10_000, 100, 600_000);
    this.drainMs = ms('shutdown.drainMs', options.shutdown?.drainMs, 5_000, 0, 3_600_000);
    const session = resolveSessionOptions(options.session);
    const lease = resolveLeaseTuning(options.lease ?? {}, 'lease');
    const partition = resolvePartitionDefaults(options.partition);
    const rooms = resolveFanout(options.fanout);
    problems.push(...session.problems, ...lease.problems, ...partition.problems, ...rooms.problems);
    if (options.consumerName !== undefined) problems.push(...checkConsumerName(options.consumerName, 'consumerName'));
    if (options.onError !== undefined && typeof options.onError !== 'function') problems.push({ path: 'onError', message: `must be a function (got ${describe(options.onError)})` });
    this.session = session.value;
    this.tuning = lease.value;
    this.partitioning = partition.value;
    this.rooms = rooms.value;
    this.identity = resolveIdentity(options.consumerName);
    const given: Array<[string, ConnectionOptions]> = [];
    if (options.connection || !options.connections?.[DEFAULT]) given.push([DEFAULT, options.connection ?? { url: 'redis://127.0.0.1:6379' }]);
    for (const [name, connection] of Object.entries(options.connections ?? {})) {
      if (name === DEFAULT && options.connection) problems.push({ path: 'connections.default', message: 'is given twice: as `connection` and here' });
      else given.push([name, connection]);
    }
    for (const [name, connection] of given) problems.push(...checkConnection(connection, name === DEFAULT ? 'connection' : `connections.${name}`));
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    for (const [name, connection] of given) this.addConnection(name, connection);
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
    const { value, problems } = resolveLeaseOptions(options, this.tuning, [...this.connections.keys()], path);
    const key = consumerKey(value.connection, value.service);
    if (this.consumers.has(key)) problems.push({ path, message: `connection "${value.connection}" has an assigned handler for this service already` });
    if (typeof handlers?.assigned !== 'function') problems.push({ path: `${path}.assigned`, message: `must be a function (got ${describe(handlers?.assigned)})` });
    if (this.starting || this.draining || this.stopping) problems.push({ path, message: 'must be added before the engine is started' });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    const { redis, tailer } = this.connection(value.connection);
    const { events, identity, session, commandTimeoutMs, drainMs } = this;
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
    const { value, problems } = resolveRegistration(registration, this.partitioning.namespace, [...this.connections.keys()], `stream "${String(registration?.name)}"`);
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
    const { value, problems } = resolvePartitionOptions(options, this.partitioning, { connections: [...this.connections.keys()], exclusive: this.identity.exclusive, path });
    const key = consumerKey(value.connection, `${value.stream}#${value.group}`);
    if (this.partitionConsumers.has(key)) problems.push({ path, message: `connection "${value.connection}" has a handler for this stream and group already` });
    if ((typeof handlers?.message === 'function') === (typeof handlers?.batch === 'function')) problems.push({ path, message: 'needs exactly one of the handlers "message" and "batch"' });
    if (this.starting || this.draining || this.stopping) problems.push({ path, message: 'must be added before the engine is started' });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    const { redis, registry } = this.connection(value.connection);
    const { events, identity, session, commandTimeoutMs, drainMs } = this;
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

  /** Rooms of a connection. @throws InvalidOptionsError when no connection has that name. */
  fanout(connection: string = DEFAULT): FanoutClient {
    return this.connection(connection).fanout;
  }

  /** Subscribes to a room, or to all rooms that a pattern fits, when the engine starts. @throws InvalidOptionsError */
  addRoomHandler(options: RoomHandlerOptions, handlers: RoomHandlers): void {
    const { room, connection = DEFAULT, ...tuning } = options;
    const path = `handler of the room ${describe(room instanceof RegExp ? String(room) : room)}`;
    const { value, problems } = resolveSubscriber(tuning, this.rooms, path);
    if (!(room instanceof RegExp)) problems.push(...checkStreamName(room, `${path}.room`));
    if (!this.connections.has(connection)) problems.push({ path: `${path}.connection`, message: `must be one of the configured connections: ${[...this.connections.keys()].join(', ')} (got ${describe(connection)})` });
    if (typeof handlers?.message !== 'function') problems.push({ path: `${path}.message`, message: `must be a function (got ${describe(handlers?.message)})` });
    if (this.starting || this.draining || this.stopping) problems.push({ path, message: 'must be added before the engine is started; use fanout().join(...) at run time' });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    this.connection(connection).fanout.add({ room, tuning: value, handlers });
  }

  /**
   * Connects, registers streams and starts all consumers. Idempotent.
   * @throws ConnectionError | ConsumerNameInUseError | StreamMismatchError | StreamNotRegisteredError | ClosedError after a stop
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
      const registered = Promise.all([...this.connections.values()].map(({ registry }) => registry.registerAll()));
      const consumers = registered.then(() => Promise.all([...this.all(), ...this.clients()].map((consumer) => consumer.start())));
      const waitMs = this.startTimeoutMs + (this.partitionConsumers.size > 0 ? this.partitioning.registrationWaitMs : 0);
      await withDeadline(consumers, waitMs, () => new ConnectionError(`Redis did not answer within ${waitMs} ms${last ? `: ${last.message}` : ''}; is it running, and are the connection options right?`, last));
      for (const { redis } of this.connections.values()) void redis.probe();
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      forget();
    }
  }

  private all(): Array<LeaseConsumer | PartitionConsumer> {
    return [...this.consumers.values(), ...this.partitionConsumers.values()];
  }

  private clients(): FanoutClient[] {
    return [...this.connections.values()].map(({ fanout }) => fanout);
  }

  private async stopAll(): Promise<void> {
    await this.drain();
    const flushed = (closing: Promise<void>, during: string): Promise<void> =>
      withDeadline(closing, this.drainMs + this.commandTimeoutMs, () => new Error('not flushed in time')).catch((error: Error) => this.report(error, { during }));
    await Promise.all(
      [...this.connections.values()].flatMap(({ client, partitions, fanout }) => [
        flushed(client.close(), 'sending the last announcements'), flushed(partitions.close(), 'sending the last messages'), flushed(fanout.close(), 'sending the last messages to rooms'),
      ]),
    );
    for (const { redis, tailer } of this.connections.values()) {
      tailer.close();
      redis.close();
    }
  }

  private addConnection(name: string, options: ConnectionOptions): void {
    const redis = new RedisConnection(name, options, this.commandTimeoutMs, this.events);
    const client = new LeaseClient(redis, this.events, (service) => this.consumers.get(consumerKey(name, service)));
    const registry = new StreamRegistry(redis, this.identity.name, this.partitioning.registrationWaitMs);
    const partitions = new PartitionClient({
      redis, events: this.events, registry, connection: name, namespace: this.partitioning.namespace,
      consumer: (stream, group) => this.partitionConsumers.get(consumerKey(name, `${stream}#${group}`)),
    });
    const { events, identity, session, commandTimeoutMs, drainMs } = this;
    const fanout = new FanoutClient(this.rooms, { redis, events, identity, session, commandTimeoutMs, drainMs, onError: (error, context) => this.report(error, { connection: name, ...context }) });
    this.connections.set(name, { redis, tailer: new StreamTailer(redis), client, registry, partitions, fanout });
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

function checkConnection(connection: unknown, path: string): OptionProblem[] {
  if (typeof connection !== 'object' || connection === null || Array.isArray(connection)) return [{ path, message: `must be an object (got ${describe(connection)})` }];
  const { url, cluster, client, port } = connection as { url?: unknown; cluster?: { nodes?: unknown }; client?: unknown; port?: unknown };
  const problems: OptionProblem[] = [];
  if ([url, cluster, client].filter((x) => x !== undefined).length > 1) problems.push({ path, message: 'must have only one of url, cluster and client' });
  if (url !== undefined && (typeof url !== 'string' || !/^(rediss?|unix):\/\/|^\//.test(url))) problems.push({ path: `${path}.url`, message: `must be a redis:// or rediss:// URL (got ${describe(url)})` });
  if (cluster !== undefined && (!Array.isArray(cluster?.nodes) || cluster.nodes.length === 0)) problems.push({ path: `${path}.cluster.nodes`, message: 'must list at least one node' });
  if (client !== undefined && typeof (client as { duplicate?: unknown } | null)?.duplicate !== 'function') problems.push({ path: `${path}.client`, message: `must be an ioredis client (got ${describe(client)})` });
  if (hasKeyPrefix(connection)) problems.push({ path, message: 'must not have a keyPrefix: the names of streams and keys are shared with other programs; put it into the service name and the stream names' });
  if (port !== undefined && (typeof port !== 'number' || !(port > 0 && port < 65_536))) problems.push({ path: `${path}.port`, message: `must be a port number (got ${describe(port)})` });
  return problems;
}

/** ioredis would put it before some names and not before others, such as those in the replies. */
function hasKeyPrefix(connection: object): boolean {
  const { options, client, cluster } = connection as Partial<Record<'options' | 'client' | 'cluster', { options?: object } & object>>;
  const places = [connection, options, client?.options, cluster?.options] as Array<{ keyPrefix?: unknown; redisOptions?: { keyPrefix?: unknown } } | undefined>;
  return places.some((place) => Boolean(place?.keyPrefix) || Boolean(place?.redisOptions?.keyPrefix));
}
