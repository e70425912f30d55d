import type { GroupRef, PartitionClient, StreamRef } from '../partition/client.js';
import type { PartitionConsumer } from '../partition/consumer.js';
import type { PartitionProducer } from '../partition/producer.js';
import type {
  GroupAssignment, GroupMember, OutgoingMessage, PartitionDeadLetter, PartitionLag, Position, SentMessage,
} from '../partition/types.js';
import type { StreamRegistration } from '../options.js';

/**
 * Sends to partitioned streams, looks at their consumer groups and steers them, over one connection. Inject it by class
 * for the default connection, with `@InjectPartitions('name')` for another. Works in any application, also one without
 * handlers. Calls reach Redis from `onApplicationBootstrap` on, until the module's `onApplicationShutdown`: also while
 * handlers drain and listeners close. Streams are named by the name they were registered under, or by name and namespace.
 */
export class PartitionService {
  constructor(private readonly client: PartitionClient) {}

  /** Resolves with the message's place when Redis has it. @throws as {@link PartitionProducer.send} */
  send(stream: string | StreamRef, message: OutgoingMessage): Promise<SentMessage> {
    return this.client.send(stream, message);
  }

  /** Like {@link send} for many at once, in order; results in the order given. @throws what the first one that failed threw */
  sendMany(stream: string | StreamRef, messages: readonly OutgoingMessage[]): Promise<SentMessage[]> {
    return this.client.sendMany(stream, messages);
  }

  /** What `@InjectStream` injects, for a stream known at run time; the same one every time. */
  producer(stream: string | StreamRef): PartitionProducer {
    return this.client.producer(stream);
  }

  /** Registers a stream at run time; again, here or elsewhere, changes nothing. @throws StreamMismatchError when it is registered otherwise */
  register(registration: StreamRegistration): Promise<void> {
    return this.client.register(registration);
  }

  /** Who owns which partition, who shall, and whether the group has settled. */
  assignment(group: GroupRef): Promise<GroupAssignment> {
    return this.client.assignment(group);
  }

  /** The group's consumers, in all processes. */
  members(group: GroupRef): Promise<readonly GroupMember[]> {
    return this.client.members(group);
  }

  /** Size, position and lag of every partition. */
  lag(group: GroupRef): Promise<PartitionLag[]> {
    return this.client.lag(group);
  }

  /** Messages that every partition keeps. */
  sizes(stream: string | StreamRef): Promise<number[]> {
    return this.client.sizes(stream);
  }

  /** The group, in all processes, stops handling these partitions (default: all) until `resume`, restarts included. */
  pause(group: GroupRef, partitions?: readonly number[]): Promise<void> {
    return this.client.pause(group, partitions);
  }

  /** Ends a pause of these partitions (default: all). Single ones cannot be taken out of a pause of all. */
  resume(group: GroupRef, partitions?: readonly number[]): Promise<void> {
    return this.client.resume(group, partitions);
  }

  /** Moves the group's position in these partitions (default: all). Handlers that run there are aborted. */
  seek(group: GroupRef, position: Position, partitions?: readonly number[]): Promise<void> {
    return this.client.seek(group, position, partitions);
  }

  /** The newest dead letters of a group first, at most `limit` (default 100). */
  deadLetters(group: GroupRef, page?: { readonly limit?: number }): Promise<PartitionDeadLetter[]> {
    return this.client.deadLetters(group, page);
  }

  /** This process's consumer of a group, or undefined. */
  consumer(group: GroupRef): PartitionConsumer | undefined {
    return this.client.consumer(group);
  }

  /** Stops this process's consumer of a group for good, as the end of the application would. @returns whether there was one */
  shutdown(group: GroupRef): Promise<boolean> {
    return this.client.shutdown(group);
  }
}
