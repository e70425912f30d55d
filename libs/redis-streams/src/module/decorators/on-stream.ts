import type { LeaseConsumerOptions } from '../../options.js';
import { handlerDecorator, type LeaseHook } from './handler-metadata.js';

/** Which service's hook, and over which connection. */
export interface LeaseHookTarget {
  readonly service: string;
  /** Name of the connection; default: the one given as `connection`. */
  readonly connection?: string;
}

/**
 * The method runs once for every data stream this process is assigned: on a provider or a controller, static or
 * request-scoped. One method per service and connection in an application; a second one is refused at start.
 *
 * Without parameter decorators it gets the {@link StreamLease} as its only argument. With them, `@Payload()` is
 * `lease.info`, `@Payload('key')` one property of it, `@Ctx()` the lease; guards, pipes, interceptors, exception
 * filters (method, class and global) and custom parameter decorators run as for a message handler, with the context
 * type `'rpc'`, `switchToRpc().getData()` = info and `getContext()` = lease.
 *
 * What the outcome means:
 * - The promise resolves, or the returned Observable completes (also empty): the stream is done (`settle: 'auto'`).
 * - It throws, or a guard refuses, or a pipe rejects: retried with backoff, and after `maxAttempts` dead-lettered.
 * - An exception filter that *returns something* (a value, or an Observable that completes) has handled the exception,
 *   and the stream counts as done. One that returns nothing has only looked, and the exception stands: Nest's own
 *   rule for filters outside HTTP, and the one that loses no work.
 * - An interceptor that never calls `next.handle()` and returns normally has handled the stream: it is done.
 *
 * When `lease.signal` aborts, a returned Observable is unsubscribed, and the stream goes to a peer. A promise is waited for.
 *
 * @param target the service, whose stream is `<service>-input`, or all options of its consumer
 */
export function OnStreamAssigned(target: string | LeaseConsumerOptions): MethodDecorator {
  return onStream('assigned', '@OnStreamAssigned', target);
}

/**
 * With `claim: 'manual'`: the method is told (an {@link ExpiredStream}) when an owner has died, on every live consumer.
 * `event.claim()` takes the stream over. Several methods may listen; each failure of one is reported as `hook.error`.
 */
export function OnStreamExpired(target: string | LeaseHookTarget): MethodDecorator {
  return onStream('expired', '@OnStreamExpired', target);
}

/** The method is told (a {@link DisownedStream}) when this process has lost a stream: paused too long, or fenced. */
export function OnStreamDisowned(target: string | LeaseHookTarget): MethodDecorator {
  return onStream('disowned', '@OnStreamDisowned', target);
}

/** The method is told (a {@link TerminatedConsumer}) when the consumer's loop has ended, and why. */
export function OnStreamTerminated(target: string | LeaseHookTarget): MethodDecorator {
  return onStream('terminated', '@OnStreamTerminated', target);
}

function onStream(hook: LeaseHook, decorator: string, target: string | LeaseConsumerOptions): MethodDecorator {
  return handlerDecorator({ capability: 'lease', hook, decorator, options: typeof target === 'string' ? { service: target } : target });
}
