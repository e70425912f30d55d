import type { RoomHandlerOptions } from '../../options.js';
import { handlerDecorator, type RoomHook } from './handler-metadata.js';

/** Which room, or pattern of rooms, as its `@OnRoomMessage` has it, and over which connection. */
export type RoomHookTarget = Pick<RoomHandlerOptions, 'room' | 'connection'>;

/**
 * The method is a subscriber of the room, or of every room the pattern fits, those born later included: it runs for each
 * message, and with `sync` (default) the room's next message waits until it is done. On a provider or a controller,
 * static or request-scoped. Several methods may subscribe to one room, here and in other processes: each gets every
 * message. This process acknowledges once all of its own have. A message that waited for a first subscriber is shown to
 * those who are in by then: of a room's name and a pattern that fits it the name is earlier.
 *
 * Without parameter decorators it gets `(data, ctx)`: what was sent, and the {@link RoomContext}. With them, `@Payload()`
 * is the data, `@Payload('key')` one property of it, `@Ctx()` the context; guards, pipes, interceptors, exception filters
 * (method, class and global) and custom parameter decorators run as for a message handler, with the context type `'rpc'`,
 * `switchToRpc().getData()` = data and `getContext()` = context. Messages out of band come too: `ctx.outOfBand` is true,
 * and the outcome means nothing but a report of what was thrown.
 *
 * What the outcome means:
 * - It returns, its promise resolves, or the returned Observable completes (also empty): acknowledged (`ack: 'auto'`).
 *   With `ack: 'manual'` only `ctx.ack()` acknowledges.
 *   An Observable is unsubscribed when `ctx.signal` aborts.
 * - It throws, or a guard refuses, or a pipe rejects: what `onFailure` says. `nack-retry` (default) calls it again with the
 *   same message after a backoff, while the room waits, and ejects it after `retry.maxAttempts`; `eject` at once; `ack`
 *   reports it and counts as done.
 * - It has not acknowledged after `ackTimeoutMs`, retries included: `ctx.signal` aborts, it is ejected, and the room goes on.
 * - An exception filter that *returns something* has handled the exception, and the message counts as done. One that
 *   returns nothing has only looked, and the exception stands.
 * - An interceptor that never calls `next.handle()` and returns normally has handled the message: it is done.
 *
 * An ejected subscriber has missed what was shown until it is back (`whenEjected`): {@link OnRoomEjected} tells it.
 * A static handler that nothing of these stands before is called directly, and a synchronous one is done when it returns.
 *
 * @param room a room's name, a pattern (`*`: any characters) or a RegExp; or that and all options of the subscriber
 */
export function OnRoomMessage(room: string | RegExp, options?: Omit<RoomHandlerOptions, 'room'>): MethodDecorator;
export function OnRoomMessage(options: RoomHandlerOptions): MethodDecorator;
export function OnRoomMessage(room: string | RegExp | RoomHandlerOptions, options?: Omit<RoomHandlerOptions, 'room'>): MethodDecorator {
  return onRoom('message', '@OnRoomMessage', isTarget(room) ? { ...options, room } : room);
}

/**
 * The method is told (an {@link EjectedSubscriber}) when a subscriber that an `@OnRoomMessage` for the same room or pattern
 * has made is ejected: its messages from there to its return, if `rejoins`, are missed. Of several such methods each
 * ejection is told, `event.subscriber` is the `ctx.subscriber` of the one it is about. Failures are reported as `hook.error`.
 */
export function OnRoomEjected(target: string | RegExp | RoomHookTarget): MethodDecorator {
  return onRoom('ejected', '@OnRoomEjected', isTarget(target) ? { room: target } : target);
}

/**
 * The method is told (a {@link JoinedRoom}) when a subscriber that an `@OnRoomMessage` for the same room or pattern has made
 * is in a room: its first message there is the next one released. For a pattern that is each room as it appears.
 * Also told of a subscriber that comes back after an ejection. Failures are reported as `hook.error`.
 */
export function OnRoomJoined(target: string | RegExp | RoomHookTarget): MethodDecorator {
  return onRoom('joined', '@OnRoomJoined', isTarget(target) ? { room: target } : target);
}

/** Whatever is no object of options is the room, also what the engine will refuse as one. */
function isTarget(given: string | RegExp | object): given is string | RegExp {
  return typeof given !== 'object' || given === null || given instanceof RegExp;
}

function onRoom(hook: RoomHook, decorator: string, options: RoomHandlerOptions): MethodDecorator {
  return handlerDecorator({ capability: 'fanout', hook, decorator, options });
}
