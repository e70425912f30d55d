import { AsyncResource } from 'node:async_hooks';
import type { FanoutClient } from '../fanout/client.js';
import type {
  AckedRoomMessage, FanoutMetrics, PeekedMessage, RoomHandler, RoomHeaders, RoomHooks, RoomSendOptions, RoomState, RoomSubscription, SentRoomMessage,
} from '../fanout/types.js';
import type { RoomTuning } from '../options.js';

/**
 * What `join` is given outlives the request it is called in by far: it must not find that one's AsyncLocalStorage (its user, its
 * transaction, over since), and least of all that of whoever happened to join first.
 */
const NOBODY = new AsyncResource('RedisStreamsRooms');

/**
 * Sends to rooms, joins rooms known at run time, and looks at them, over one connection. Inject it by class for the
 * default connection, with `@InjectFanout('name')` for another. Works in any application, also one without handlers.
 * Calls reach Redis from `onApplicationBootstrap` on, until the module's `onApplicationShutdown`: also while handlers
 * drain and listeners close. What `join` has subscribed leaves with the decorated handlers, in the module's `onModuleDestroy`.
 */
export class FanoutService {
  constructor(private readonly client: FanoutClient) {}

  /**
   * Resolves when Redis has the message; with `await: 'acked'` when every sync subscriber has acknowledged it or was
   * ejected. @throws as {@link FanoutClient.send}
   */
  send(room: string, data: unknown, options?: RoomSendOptions & { readonly await?: 'queued' }): Promise<SentRoomMessage>;
  send(room: string, data: unknown, options: RoomSendOptions & { readonly await: 'acked' }): Promise<AckedRoomMessage>;
  send(room: string, data: unknown, options?: RoomSendOptions): Promise<SentRoomMessage | AckedRoomMessage>;
  send(room: string, data: unknown, options?: RoomSendOptions): Promise<SentRoomMessage | AckedRoomMessage> {
    return this.client.send(room, data, options);
  }

  /** Shows a message to everybody in the room at once, beside the order. Nobody waits for it, and it is not kept. */
  sendOutOfBand(room: string, data: unknown, options?: { readonly headers?: RoomHeaders }): Promise<SentRoomMessage> {
    return this.client.sendOutOfBand(room, data, options);
  }

  /**
   * Subscribes, for rooms known at run time (one of each web socket, say). Resolves when the next message released in the
   * room will be shown to the handler, which is called as it is: guards, pipes and the like stand around decorated methods only.
   * Handler and hooks run in no AsyncLocalStorage context, as decorated methods do; `AsyncResource.bind` gives them the caller's.
   * @throws as {@link FanoutClient.join}
   */
  join(room: string, handler: RoomHandler, options?: RoomTuning & RoomHooks): Promise<RoomSubscription> {
    return this.client.join(room, detached(handler), withDetachedHooks(options));
  }

  /**
   * Ends every subscription that `join` has made in the room over this connection; those of decorated methods stay. One
   * alone is ended by its own `leave()`. @returns how many have ended, when Redis knows
   */
  leave(room: string): Promise<number> {
    return this.client.leave(room);
  }

  /** Messages that wait in a room, in the order in which they will be shown. The current one is not among them. Default: the first 100. */
  peek(room: string, offset?: number, limit?: number): Promise<PeekedMessage[]> {
    return this.client.peek(room, offset, limit);
  }

  /** Backlog, current message, members, and who still owes an acknowledgement. */
  state(room: string): Promise<RoomState> {
    return this.client.state(room);
  }

  /** Ends a room: everybody in it is told, what waits is dropped. @returns how many messages were dropped */
  remove(room: string): Promise<number> {
    return this.client.remove(room);
  }

  /** Rooms and subscribers, what this process has received and how late, and the rooms with the most waiting messages (default 10). */
  metrics(query?: { readonly topRooms?: number }): Promise<FanoutMetrics> {
    return this.client.metrics(query);
  }
}

function withDetachedHooks<O extends RoomHooks>(options: O | undefined): O | undefined {
  const hooks = Object.entries({ joined: options?.joined, ejected: options?.ejected }).filter(([, hook]) => typeof hook === 'function');
  return hooks.length === 0 ? options : ({ ...options, ...Object.fromEntries(hooks.map(([name, hook]) => [name, detached(hook)])) } as O);
}

/** What is no function is for the client to refuse. */
function detached<F>(call: F): F {
  if (typeof call !== 'function') return call;
  return ((...args: unknown[]): unknown => NOBODY.runInAsyncScope(call as unknown as (...args: unknown[]) => unknown, undefined, ...args)) as F;
}
