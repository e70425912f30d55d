import { ClosedError, InvalidOptionsError } from '../errors/index.js';
import { checkPartName, describe } from '../keys/names.js';
import { fullName } from '../keys/partition-keys.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { StreamRegistration } from '../options.js';
import type { RedisConnection } from '../redis/connection.js';
import type { PartitionConsumer } from './consumer.js';
import { GroupStore } from './group-store.js';
import { assignmentOf, deadLettersOf, lagOf, seekPartition } from './inspect.js';
import { PartitionProducer } from './producer.js';
import { resolveRegistration, type KnownStream, type StreamRegistry } from './registration.js';
import type { GroupAssignment, GroupMember, OutgoingMessage, PartitionDeadLetter, PartitionLag, Position, SentMessage } from './types.js';

/** A stream by name. */
export interface StreamRef {
  readonly stream: string;
  /** Default: the option `partition.namespace`. */
  readonly namespace?: string;
}

/** A consumer group of a stream. */
export interface GroupRef extends StreamRef {
  readonly group: string;
}

export interface PartitionClientContext {
  readonly redis: RedisConnection;
  readonly events: RedisStreamsEvents;
  readonly registry: StreamRegistry;
  readonly connection: string;
  readonly namespace: string | undefined;
  consumer(stream: string, group: string): PartitionConsumer | undefined;
}

/** Partitioned streams of one connection: sending, and what an operator asks and changes. Works in processes that consume nothing. */
export class PartitionClient {
  private readonly producers = new Map<string, PartitionProducer>();
  private closed = false;

  /** @internal */
  constructor(private readonly context: PartitionClientContext) {}

  /**
   * Registers a stream at run time. Doing it again, here or elsewhere, changes nothing.
   * @throws StreamMismatchError when it is registered otherwise | InvalidOptionsError
   */
  async register(registration: StreamRegistration): Promise<void> {
    const { registry, connection, namespace } = this.context;
    const { value, problems } = resolveRegistration({ connection, ...registration }, namespace, [connection], `stream "${String(registration?.name)}"`);
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    await registry.register(value);
  }

  /** The producer of a stream; the same one every time. */
  producer(stream: string | StreamRef): PartitionProducer {
    const name = this.nameOf(stream);
    const known = this.producers.get(name);
    if (known) return known;
    if (this.closed) throw new ClosedError('the partition client');
    const { redis, events, registry } = this.context;
    const producer = new PartitionProducer(redis, events, name, () => registry.get(name, 'producer'));
    this.producers.set(name, producer);
    return producer;
  }

  /** Sends one message; see {@link PartitionProducer.send}. */
  async send(stream: string | StreamRef, message: OutgoingMessage): Promise<SentMessage> {
    return this.producer(stream).send(message);
  }

  /** Sends messages in order; see {@link PartitionProducer.sendMany}. */
  async sendMany(stream: string | StreamRef, messages: readonly OutgoingMessage[]): Promise<SentMessage[]> {
    return this.producer(stream).sendMany(messages);
  }

  /** Who owns what, who shall, and whether the group has settled. */
  async assignment(ref: GroupRef): Promise<GroupAssignment> {
    return assignmentOf(await this.group(ref));
  }

  async members(ref: GroupRef): Promise<readonly GroupMember[]> {
    return (await this.assignment(ref)).members;
  }

  /** Size, position and lag of every partition. */
  async lag(ref: GroupRef): Promise<PartitionLag[]> {
    const { registry, redis } = this.context;
    return lagOf(redis, await registry.get(this.nameOf(ref), 'lag'), groupOf(ref));
  }

  /** Messages that every partition keeps. */
  async sizes(stream: string | StreamRef): Promise<number[]> {
    const { registry, redis } = this.context;
    return (await lagOf(redis, await registry.get(this.nameOf(stream), 'sizes'), '')).map(({ size }) => size);
  }

  /** The whole group stops handling these partitions (default: all) until `resume`, restarts included. What runs ends. */
  async pause(ref: GroupRef, partitions?: readonly number[]): Promise<void> {
    const { store } = await this.checked(ref, partitions);
    if (partitions?.length !== 0) await store.control('pause', partitions ?? []);
  }

  /** Ends a pause of these partitions (default: all). Single ones cannot be taken out of a pause of all. */
  async resume(ref: GroupRef, partitions?: readonly number[]): Promise<void> {
    const { store } = await this.checked(ref, partitions);
    if (partitions?.length === 0) return;
    const paused = await store.control('resume', partitions ?? []);
    if (paused === 'all') throw new InvalidOptionsError([{ path: 'partitions', message: 'cannot be resumed one by one: the whole group is paused; resume it without naming partitions' }]);
  }

  /**
   * Moves the group's position in these partitions (default: all). Handlers that run are aborted, and what they have
   * not committed is decided by the new position alone.
   */
  async seek(ref: GroupRef, position: Position, partitions?: readonly number[]): Promise<void> {
    const { stream, store } = await this.checked(ref, partitions);
    if (partitions?.length === 0) return;
    const which = partitions ?? Array.from({ length: stream.partitions }, (_, partition) => partition);
    for (const partition of which) await seekPartition(this.context.redis, stream, store.group, partition, position);
    await store.control('evict', which);
  }

  /** The newest dead letters of a group first, at most `limit` (default 100). */
  async deadLetters(ref: GroupRef, { limit = 100 }: { readonly limit?: number } = {}): Promise<PartitionDeadLetter[]> {
    const { registry, redis } = this.context;
    if (typeof limit !== 'number' || Number.isNaN(limit)) throw new InvalidOptionsError([{ path: 'limit', message: `must be a number (got ${describe(limit)})` }]);
    return deadLettersOf(redis, await registry.get(this.nameOf(ref), 'dead letters'), groupOf(ref), Math.min(Math.max(1, Math.trunc(limit)), Number.MAX_SAFE_INTEGER));
  }

  /** This process's consumer of a group, or undefined. */
  consumer(ref: GroupRef): PartitionConsumer | undefined {
    return this.context.consumer(this.nameOf(ref), groupOf(ref));
  }

  /** Stops this process's consumer of a group for good, as the end of the application would. @returns whether there was one */
  async shutdown(ref: GroupRef): Promise<boolean> {
    const consumer = this.consumer(ref);
    await consumer?.stop();
    return consumer !== undefined;
  }

  /** @internal */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.producers.values()].map((producer) => producer.close()));
  }

  private async group(ref: GroupRef): Promise<GroupStore> {
    const { registry, redis } = this.context;
    const { stream, partitions } = await registry.get(this.nameOf(ref), `group "${ref.group}"`);
    return new GroupStore(redis, stream, groupOf(ref), partitions);
  }

  /** None given: all of them; an empty list: none. */
  private async checked(ref: GroupRef, partitions: readonly number[] | undefined): Promise<{ stream: KnownStream; store: GroupStore }> {
    const stream = await this.context.registry.get(this.nameOf(ref), `group "${ref.group}"`);
    if (partitions !== undefined && !Array.isArray(partitions)) throw new InvalidOptionsError([{ path: 'partitions', message: `must be an array (got ${describe(partitions)})` }]);
    const wrong = partitions?.find((partition) => !(Number.isInteger(partition) && partition >= 0 && partition < stream.partitions));
    if (wrong !== undefined) throw new InvalidOptionsError([{ path: 'partitions', message: `must be whole numbers from 0 to ${stream.partitions - 1} (got ${describe(wrong)})` }]);
    return { stream, store: new GroupStore(this.context.redis, stream.stream, groupOf(ref), stream.partitions) };
  }

  private nameOf(ref: string | StreamRef | undefined): string {
    const { stream, namespace } = typeof ref === 'object' && ref !== null ? ref : { stream: ref, namespace: undefined };
    const problems = [...checkPartName(stream, 'stream'), ...(namespace === undefined ? [] : checkPartName(namespace, 'namespace'))];
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    return fullName(namespace ?? this.context.namespace, stream!);
  }
}

function groupOf({ group }: GroupRef): string {
  const problems = checkPartName(group, 'group');
  if (problems.length > 0) throw new InvalidOptionsError(problems);
  return group;
}
