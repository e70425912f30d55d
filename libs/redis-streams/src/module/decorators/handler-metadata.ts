import { fullName } from '../../keys/partition-keys.js';
import type { LeaseConsumerOptions, PartitionConsumerOptions } from '../../options.js';
import { markAsHandlerHost } from '../nest-compat.js';
import { DEFAULT_CONNECTION } from '../tokens.js';

export type LeaseHook = 'assigned' | 'expired' | 'disowned' | 'terminated';
export type PartitionHook = 'message' | 'assigned' | 'revoked' | 'lost';

interface Decorated<Capability extends string, Hook extends string, Options> {
  readonly capability: Capability;
  readonly hook: Hook;
  /** As it is written above the method, for messages. */
  readonly decorator: string;
  /** The handler's; of the other hooks only what names the consumer is used. */
  readonly options: Options;
}
export type LeaseHandlerMetadata = Decorated<'lease', LeaseHook, LeaseConsumerOptions>;
export type PartitionHandlerMetadata = Decorated<'partition', PartitionHook, PartitionConsumerOptions>;

/** What one decorator leaves on its method. */
export type HandlerMetadata = LeaseHandlerMetadata | PartitionHandlerMetadata;

/** What every consumer has, once. */
export const MAIN = {
  lease: { hook: 'assigned', decorator: '@OnStreamAssigned' },
  partition: { hook: 'message', decorator: '@PartitionHandler' },
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

/** What a handler's consumer is of: the service, or the stream by its full name. */
export function subjectOf({ capability, options }: HandlerMetadata, namespace: string | undefined): string {
  return capability === 'lease' ? options.service : fullName(options.namespace ?? namespace, options.stream);
}

/** Names a handler's consumer in messages; handlers of one consumer have the same name, others never. */
export function consumerOf(handler: HandlerMetadata, namespace: string | undefined): string {
  const { capability, options } = handler;
  const subject = subjectOf(handler, namespace);
  const connection = options.connection ?? DEFAULT_CONNECTION;
  const consumer = capability === 'lease' ? `service "${subject}"` : `stream "${subject}" in group "${options.group}"`;
  return connection === DEFAULT_CONNECTION ? consumer : `${consumer} on connection "${connection}"`;
}
