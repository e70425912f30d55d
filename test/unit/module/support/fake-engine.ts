import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  type LeaseConsumerOptions, type LeaseHandlers, type PartitionBatchContext, type PartitionConsumerOptions, type PartitionContext,
  type PartitionHandlers, RedisStreamsEngine, RedisStreamsEvents, RedisStreamsModule, type RedisStreamsModuleOptions,
  type QueueConsumerOptions, type QueueContext, type QueueHandlers, type QueueRegistration, type RoomContext, type RoomHandlerOptions,
  type RoomHandlers, type StreamLease, type StreamRegistration,
} from 'nestjs-redis-streams';

/** Stands where the engine would, so that what the module hands to it can be called without a server. */
export class FakeEngine {
  readonly events = new RedisStreamsEvents();
  readonly consumerName = 'fake';
  readonly consumers: Array<{ options: LeaseConsumerOptions; handlers: LeaseHandlers }> = [];
  readonly partitionConsumers: Array<{ options: PartitionConsumerOptions; handlers: PartitionHandlers }> = [];
  readonly rooms: Array<{ options: RoomHandlerOptions; handlers: RoomHandlers }> = [];
  readonly streams: StreamRegistration[] = [];
  readonly queueConsumers: Array<{ options: QueueConsumerOptions; handlers: QueueHandlers }> = [];
  readonly registeredQueues: QueueRegistration[] = [];
  readonly calls: string[] = [];
  onDrain: () => Promise<void> = () => Promise.resolve();
  onStop: () => Promise<void> = () => Promise.resolve();

  addLeaseConsumer(options: LeaseConsumerOptions, handlers: LeaseHandlers): void {
    this.consumers.push({ options, handlers });
  }

  leases(connection?: string): object {
    return { connection, announce: (service: string, stream: string) => Promise.resolve({ status: 'announced', id: `${service}/${stream}` }) };
  }

  addPartitionConsumer(options: PartitionConsumerOptions, handlers: PartitionHandlers): void {
    this.partitionConsumers.push({ options, handlers });
  }

  addRoomHandler(options: RoomHandlerOptions, handlers: RoomHandlers): void {
    this.rooms.push({ options, handlers });
  }

  fanout(connection?: string): object {
    return { connection, send: (room: string, data: unknown) => Promise.resolve({ connection, room, data }) };
  }

  deadLetters(connection?: string): object {
    return { connection };
  }

  registerStream(registration: StreamRegistration): void {
    this.streams.push(registration);
  }

  partitions(connection?: string): { producer(ref: object): object } {
    return { producer: (ref) => ({ connection, ...ref }) };
  }

  addQueueConsumer(options: QueueConsumerOptions, handlers: QueueHandlers): void {
    this.queueConsumers.push({ options, handlers });
  }

  registerQueue(registration: QueueRegistration): void {
    this.registeredQueues.push(registration);
  }

  queues(connection?: string): { queue(ref: object, options?: object): object } {
    return { queue: (ref, options) => ({ connection, ...ref, ...(options && { options }) }) };
  }

  start(): Promise<void> {
    this.calls.push('start');
    return Promise.resolve();
  }

  async drain(): Promise<void> {
    this.calls.push('drain');
    await this.onDrain();
  }

  async stop(): Promise<void> {
    this.calls.push('stop');
    await this.onStop();
  }

  handlers(service: string, connection?: string): LeaseHandlers {
    const found = this.consumers.find(({ options }) => options.service === service && options.connection === connection);
    if (!found) throw new Error(`no consumer of ${service}`);
    return found.handlers;
  }

  groupHandlers(stream: string, group: string): PartitionHandlers {
    const found = this.partitionConsumers.find(({ options }) => options.stream === stream && options.group === group);
    if (!found) throw new Error(`no consumer of ${stream} in ${group}`);
    return found.handlers;
  }

  /** What the engine does with a message, without waiting for what the handler returns. */
  deliver(stream: string, data: unknown, context: PartitionContext = fakeMessage(data), group = 'g'): unknown {
    return this.groupHandlers(stream, group).message!(data, context);
  }

  /** What the engine does with a message of a queue. */
  work(queue: string, data: unknown, context: QueueContext = fakeQueueMessage(data)): unknown {
    const found = this.queueConsumers.find(({ options }) => options.queue === queue);
    if (!found) throw new Error(`no consumer of ${queue}`);
    return found.handlers.message(data, context);
  }

  /** What the engine does with a batch. */
  deliverBatch(stream: string, data: unknown[], context: PartitionBatchContext, group = 'g'): unknown {
    return this.groupHandlers(stream, group).batch!(data, context);
  }

  /** What the engine does with a message of a room: every subscriber gets it, none waits for another. */
  show(room: string | RegExp, data: unknown, context: RoomContext = fakeRoomMessage(data)): unknown[] {
    return this.roomHandlers(room).map(({ message }) => message(data, context));
  }

  roomHandlers(room: string | RegExp): RoomHandlers[] {
    return this.rooms.filter(({ options }) => String(options.room) === String(room)).map(({ handlers }) => handlers);
  }

  /** What the engine does with a grant. */
  async assign(service: string, lease: StreamLease = fakeLease()): Promise<unknown> {
    return this.handlers(service).assigned(lease);
  }
}

export function fakeLease(info: Record<string, unknown> = { amount: 7 }): StreamLease {
  return { service: 'orders', stream: 'order-1', info, token: 42, attempt: 1, signal: new AbortController().signal } as unknown as StreamLease;
}

export function fakeMessage(data: unknown, more: Partial<PartitionContext> = {}): PartitionContext {
  return {
    stream: 'payments', group: 'g', partition: 3, fencingToken: 42, id: '1-0', key: 'k', data, size: 0, headers: {}, attempt: 1, lag: 0,
    signal: new AbortController().signal, ack: () => Promise.resolve(), ...more,
  };
}

export function fakeQueueMessage(data: unknown, more: Partial<QueueContext> = {}): QueueContext {
  return {
    queue: 'jobs', group: 'default', shard: 0, id: '1-0', messageId: undefined, key: 'k', data, size: 0, headers: {}, attempt: 1, redelivered: false, queuedAt: 1,
    signal: new AbortController().signal, ack: () => Promise.resolve(), nack: () => Promise.resolve(), deadLetter: () => Promise.resolve(), ...more,
  };
}

export function fakeRoomMessage(data: unknown, more: Partial<RoomContext> = {}): RoomContext {
  return {
    room: 'lobby', id: '7', data, headers: {}, priority: 0, outOfBand: false, sentAt: 1, attempt: 1, redelivery: 0, subscriber: 'c1/1',
    signal: new AbortController().signal, ack: () => undefined, ...more,
  };
}

export interface FakeApp {
  readonly app: TestingModule;
  readonly engine: FakeEngine;
}

/** An initialised application of these parts, and the engine in it. */
export async function appOf(metadata: ModuleMetadata, engine = new FakeEngine(), options: RedisStreamsModuleOptions = {}): Promise<FakeApp> {
  const app = await Test.createTestingModule({ ...metadata, imports: [RedisStreamsModule.forRoot(options), ...(metadata.imports ?? [])] })
    .overrideProvider(RedisStreamsEngine)
    .useValue(engine)
    .setLogger(false as never)
    .compile();
  await app.init();
  return { app, engine };
}
