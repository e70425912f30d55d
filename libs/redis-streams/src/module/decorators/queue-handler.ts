import type { QueueConsumerOptions } from '../../options.js';
import { handlerDecorator } from './handler-metadata.js';

/**
 * The method runs for every message of the queue that this process takes on for the group, so many at a time as `concurrency`
 * says and in no order that it could rely on. On a provider or a controller, static or request-scoped. One method per
 * connection, queue and group in an application; a second one is refused at start.
 *
 * Without parameter decorators it gets `(data, ctx)`: what was sent, and the {@link QueueContext}. With them, `@Payload()` is
 * the data, `@Payload('key')` one property of it, `@Ctx()` the context; guards, pipes, interceptors, exception filters
 * (method, class and global) and custom parameter decorators run as for a message handler, with the context type `'rpc'`,
 * `switchToRpc().getData()` = data and `getContext()` = context.
 *
 * What the outcome means:
 * - It returns, its promise resolves, or the returned Observable completes (also empty): acknowledged (`ack: 'auto'`).
 *   With `ack: 'manual'` only `ctx.ack()` acknowledges.
 *   An Observable is unsubscribed when `ctx.signal` aborts.
 * - It throws, or a guard refuses, or a pipe rejects: delivered again after a backoff, to whichever process is free, while
 *   other messages go on; after `retry.maxAttempts` it goes to the dead letters.
 * - An exception filter that *returns something* has handled the exception, and the message counts as done. One that returns
 *   nothing has only looked, and the exception stands.
 * - An interceptor that never calls `next.handle()` and returns normally has handled the message: it is done.
 *
 * A static handler that nothing of these stands before is called directly, and a synchronous one is done when it returns:
 * per-message work costs least so.
 *
 * @param target the queue, whose group is then `default`, or all options of its consumer
 */
export function QueueHandler(target: string | QueueConsumerOptions): MethodDecorator {
  const options = typeof target === 'string' ? { queue: target } : target;
  return handlerDecorator({ capability: 'queue', hook: 'message', decorator: '@QueueHandler', options });
}
