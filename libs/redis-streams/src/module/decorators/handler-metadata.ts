import { fullName } from '../../keys/partition-keys.js';
import type { LeaseConsumerOptions, PartitionConsumerOptions, QueueConsumerOptions, RoomHandlerOptions } from '../../options.js';
import { markAsHandlerHost } from '../nest-compat.js';
import { DEFAULT_CONNECTION } from '../tokens.js';

export type LeaseHook = 'assigned' | 'expired' | 'disowned' | 'terminated';
export type PartitionHook = 'message' | 'assigned' | 'revoked' | 'lost';
export type RoomHook = 'message' | 'joined' | 'ejected';

interface Decorated<Capability extends string, Hook extends string, Options> {
  readonly capability: Capability;
  readonly hook: Hook;
  /** As it is written above the method, for messages. */
  readonly decorator: string;
  /** The handler's; of the other hooks only what names the consumer, or the room, is used. */
  readonly options: Options;
}
export type LeaseHandlerMetadata = Decorated<'lease', LeaseHook, LeaseConsumerOptions>;
export type PartitionHandlerMetadata = Decorated<'partition', PartitionHook, PartitionConsumerOptions>;
export type RoomHandlerMetadata = Decorated<'fanout', RoomHook, RoomHandlerOptions>;
export type QueueHandlerMetadata = Decorated<'queue', 'message', QueueConsumerOptions>;

/** What one decorator leaves on its method. */
export type HandlerMetadata = LeaseHandlerMetadata | PartitionHandlerMetadata | RoomHandlerMetadata | QueueHandlerMetadata;

/** What every consumer has, once; and a room, or a pattern of rooms, at least once. */
export const MAIN = {
  lease: { hook: 'assigned', decorator: '@OnStreamAssigned' },
  partition: { hook: 'message', decorator: '@PartitionHandler' },
  fanout: { hook: 'message', decorator: '@OnRoomMessage' },
  queue: { hook: 'message', decorator: '@QueueHandler' },
} as const satisfies Record<HandlerMetadata['capability'], Pick<HandlerMetadata, 'hook' | 'decorator'>>;

const KEY = 'nestjs-redis-streams:handlers';

/**
 * Kept on the function and not on the class, so that inherited methods count, and a method which a subclass overrides
 * without decorating it does not (the rule Nest has for its own handlers). A method may be decorated several times.
 */
export function handlerDecorator(entry: HandlerMetadata): MethodDecorator {
  return (prototype, name, descriptor: PropertyDescriptor) => {
    const method: unknown = descriptor.value;
    if (typeof method !== 'function') throw new TypeError(`${entry.decorator} belongs on a method, not on ${String(name)}`);
    markAsHandlerHost(prototype.constructor);
    Reflect.defineMetadata(KEY, [...handlersOf(method), entry], method);
  };
}

export function handlersOf(method: object): readonly HandlerMetadata[] {
  return (Reflect.getOwnMetadata(KEY, method) as HandlerMetadata[] | undefined) ?? [];
}

/** The namespaces of streams and queues that give none. */
export interface Namespaces {
  readonly partition?: { readonly namespace?: string };
  readonly queue?: { readonly namespace?: string };
}

/** What a handler is for: the service, the stream or queue by its full name, or the room or pattern as it was given. */
export function subjectOf({ capability, options }: HandlerMetadata, defaults: Namespaces): string {
  switch (capability) {
    case 'lease':
      return options.service;
    case 'partition':
      return fullName(options.namespace ?? defaults.partition?.namespace, options.stream);
    case 'fanout':
      return String(options.room);
    case 'queue':
      return fullName(options.namespace ?? defaults.queue?.namespace, options.queue);
  }
}

/** Names what a handler is for in messages; handlers of one consumer, room or pattern have the same name, others never. */
export function consumerOf(handler: HandlerMetadata, defaults: Namespaces): string {
  const connection = handler.options.connection ?? DEFAULT_CONNECTION;
  const consumer = named(handler, subjectOf(handler, defaults));
  return connection === DEFAULT_CONNECTION ? consumer : `${consumer} on connection "${connection}"`;
}

function named({ capability, options }: HandlerMetadata, subject: string): string {
  switch (capability) {
    case 'lease':
      return `service "${subject}"`;
    case 'partition':
      return `stream "${subject}" in group "${options.group}"`;
    case 'fanout':
      return options.room instanceof RegExp ? `rooms ${subject}` : `room "${subject}"`;
    case 'queue':
      return `queue "${subject}" in group "${options.group ?? 'default'}"`;
  }
}
