import type { PartitionConsumerOptions } from '../../options.js';
import { handlerDecorator, type PartitionHook } from './handler-metadata.js';

/** Which consumer group's hook. */
export interface PartitionHookTarget {
  readonly stream: string;
  readonly group: string;
  /** Default: the option `partition.namespace`. */
  readonly namespace?: string;
  /** Name of the connection; default: the one given as `connection`. */
  readonly connection?: string;
}

/**
 * The method runs for every message of the partitions this process owns in the group; messages of one key run in the
 * order they were sent, one at a time. On a provider or a controller, static or request-scoped. One method per
 * connection, stream and group in an application; a second one is refused at start.
 *
 * Without parameter decorators it gets `(data, ctx)`: what was sent, and the {@link PartitionContext}. With them,
 * `@Payload()` is the data, `@Payload('key')` one property of it, `@Ctx()` the context; guards, pipes, interceptors,
 * exception filters (method, class and global) and custom parameter decorators run as for a message handler, with the
 * context type `'rpc'`, `switchToRpc().getData()` = data and `getContext()` = context. With `batch` (here, or as the
 * default of all consumers) the data is an array and the context a {@link PartitionBatchContext}.
 *
 * What the outcome means:
 * - It returns, its promise resolves, or the returned Observable completes (also empty): acknowledged (`ack: 'auto'`).
 *   An Observable is unsubscribed when `ctx.signal` aborts.
 * - It throws, or a guard refuses, or a pipe rejects: the same message again after a backoff, while its key waits and
 *   other keys go on; after `retry.maxAttempts` it goes to the dead-letter stream.
 * - An exception filter that *returns something* has handled the exception, and the message counts as done. One that
 *   returns nothing has only looked, and the exception stands.
 * - An interceptor that never calls `next.handle()` and returns normally has handled the message: it is done.
 *
 * A static handler that nothing of these stands before is called directly, and a synchronous one is done when it returns:
 * per-message work costs least so.
 */
export function PartitionHandler(options: PartitionConsumerOptions): MethodDecorator {
  return onPartitions('message', '@PartitionHandler', options);
}

/**
 * The method is told (a {@link PartitionsEvent}) of partitions this process gets; awaited before their first message,
 * for at most `shutdown.drainMs`. Several methods may listen; failures are reported as `hook.error`.
 */
export function OnPartitionsAssigned(target: PartitionHookTarget): MethodDecorator {
  return onPartitions('assigned', '@OnPartitionsAssigned', target);
}

/**
 * The method is told (a {@link PartitionsRevoked}) of partitions this process is about to hand over: their handlers
 * have ended and all is committed. Awaited before the hand-over, for at most `shutdown.drainMs`.
 */
export function OnPartitionsRevoked(target: PartitionHookTarget): MethodDecorator {
  return onPartitions('revoked', '@OnPartitionsRevoked', target);
}

/** The method is told (a {@link PartitionsLost}) of partitions that are somebody else's already. Nothing waits for it. */
export function OnPartitionsLost(target: PartitionHookTarget): MethodDecorator {
  return onPartitions('lost', '@OnPartitionsLost', target);
}

function onPartitions(hook: PartitionHook, decorator: string, options: PartitionConsumerOptions): MethodDecorator {
  return handlerDecorator({ capability: 'partition', hook, decorator, options });
}
