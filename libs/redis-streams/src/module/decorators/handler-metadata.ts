import type { LeaseConsumerOptions } from '../../options.js';
import { markAsHandlerHost } from '../nest-compat.js';
import { DEFAULT_CONNECTION } from '../tokens.js';

export type LeaseHook = 'assigned' | 'expired' | 'disowned' | 'terminated';

/** Which service's hook, and over which connection. */
export interface LeaseHookTarget {
  readonly service: string;
  /** Name of the connection; default: the one given as `connection`. */
  readonly connection?: string;
}

/** What one decorator leaves on its method. */
export interface LeaseHandlerMetadata {
  readonly hook: LeaseHook;
  readonly options: LeaseConsumerOptions;
  readonly connection: string;
}

const KEY = 'nestjs-redis-streams:lease-handlers';

/**
 * Kept on the function and not on the class, so that inherited methods count, and a method which a subclass overrides
 * without decorating it does not (the rule Nest has for its own handlers). A method may be decorated several times.
 */
export function leaseHookDecorator(hook: LeaseHook, target: string | LeaseConsumerOptions): MethodDecorator {
  const options = typeof target === 'string' ? { service: target } : target;
  const entry: LeaseHandlerMetadata = { hook, options, connection: options.connection ?? DEFAULT_CONNECTION };
  return (prototype, name, descriptor: PropertyDescriptor) => {
    const method: unknown = descriptor.value;
    if (typeof method !== 'function') throw new TypeError(`@OnStream... belongs on a method, not on ${String(name)}`);
    markAsHandlerHost(prototype.constructor);
    Reflect.defineMetadata(KEY, [...leaseHandlersOf(method), entry], method);
  };
}

export function leaseHandlersOf(method: object): readonly LeaseHandlerMetadata[] {
  return (Reflect.getOwnMetadata(KEY, method) as LeaseHandlerMetadata[] | undefined) ?? [];
}
