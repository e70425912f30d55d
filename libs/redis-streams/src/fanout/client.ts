import { randomBytes } from 'node:crypto';
import { ClosedError, ConnectionError, InvalidOptionsError, RedisStreamsError, type OptionProblem } from '../errors/index.js';
import { roomMatcher } from '../kernel/room-pattern.js';
import { objectOf } from '../keys/check.js';
import { checkKeys, describe } from '../keys/names.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ErrorContext, RoomTuning } from '../options.js';
import type { RedisConnection } from '../redis/connection.js';
import { patiently } from '../redis/patiently.js';
import { slotOf } from '../redis/slot.js';
import { newIncarnation, type ConsumerIdentity } from '../session/identity.js';
import type { ResolvedSession } from '../session/options.js';
import { checkCounts, checkHooks, checkRoom, encode, peeked, stateOf } from './messages.js';
import { resolveSubscriber, type ResolvedFanout, type ResolvedRoomTuning } from './options.js';
import { FanoutShard, RoomCounts } from './shard.js';
import { registerFanout, type OutgoingRoomMessage, type RoomStore } from './store.js';
import { Subscriber } from './subscriber.js';
import type {
  AckedRoomMessage, FanoutMetrics, PeekedMessage, RoomHandler, RoomHandlers, RoomHeaders, RoomHooks, RoomSendOptions, RoomState,
  RoomSubscription, SentRoomMessage,
} from './types.js';

export interface FanoutClientContext {
  readonly redis: RedisConnection;
  readonly events: RedisStreamsEvents;
  readonly identity: ConsumerIdentity;
  readonly session: ResolvedSession;
  readonly commandTimeoutMs: number;
  readonly drainMs: number;
  onError(error: Error, context: ErrorContext): void;
}

/** A handler of rooms that is started with the engine. */
export interface RoomTarget {
  readonly room: string | RegExp;
  readonly tuning: ResolvedRoomTuning;
  readonly handlers: RoomHandlers;
}

/** Rooms over one connection: sending, subscribing, looking. */
export class FanoutClient {
  private readonly shards = new Map<number, FanoutShard>();
  private readonly counts = new RoomCounts();
  private readonly targets: RoomTarget[] = [];
  private readonly label: string;
  private subscribers = 0;
  /** Those that `join` has made. */
  private readonly joined = new WeakSet<Subscriber>();
  private registering: Promise<void> | undefined;
  private stopping: Promise<void> | undefined;
  private readonly ending = new AbortController();
  private closed = false;

  /** @internal */
  constructor(
    private readonly options: ResolvedFanout,
    private readonly context: FanoutClientContext,
  ) {
    this.label = newIncarnation(context.identity.name);
  }

  /**
   * Sends to a room. Resolves when Redis has the message, or with `await: 'acked'` when every sync subscriber has
   * acknowledged it. @throws BackpressureError when the room holds `fanout.maxBacklog` messages | AckTimeoutError | InvalidOptionsError | ConnectionError
   */
  async send(room: string, data: unknown, options?: RoomSendOptions & { readonly await?: 'queued' }): Promise<SentRoomMessage>;
  async send(room: string, data: unknown, options: RoomSendOptions & { readonly await: 'acked' }): Promise<AckedRoomMessage>;
  async send(room: string, data: unknown, options?: RoomSendOptions): Promise<SentRoomMessage | AckedRoomMessage>;
  async send(room: string, data: unknown, options: RoomSendOptions = {}): Promise<SentRoomMessage | AckedRoomMessage> {
    const payload = encode(room, data, options);
    const awaited = options.await === 'acked';
    const message: OutgoingRoomMessage = { room, priority: options.priority ?? 0, payload, awaited };
    const { sender } = await this.shardOf(room);
    return awaited ? sender.sendAwaited(message, options.timeoutMs) : { room, id: await sender.send(message) };
  }

  /** Shows a message to everybody in the room at once, beside the order. Nobody waits for it, and it is not kept. */
  async sendOutOfBand(room: string, data: unknown, options: { readonly headers?: RoomHeaders } = {}): Promise<SentRoomMessage> {
    const payload = encode(room, data, options, true);
    const id = randomBytes(9).toString('base64url');
    await (await this.shardOf(room)).store.outOfBand(room, id, payload);
    return { room, id };
  }

  /**
   * Subscribes. Resolves when the next message released in the room will be shown to the handler. Waits for a server that is away (the first use of rooms in a process: 15 s).
   * @throws InvalidOptionsError | ClosedError | ConnectionError when this user has no right to the room's channel
   */
  async join(room: string, handler: RoomHandler, options: RoomTuning & RoomHooks = {}): Promise<RoomSubscription> {
    const wrong: OptionProblem[] = [];
    const { joined, ejected, ...tuning } = objectOf(options, 'options', wrong);
    const { value, problems } = resolveSubscriber(tuning, this.options, `subscriber of the room ${describe(room)}`);
    problems.push(...wrong, ...checkRoom(room), ...checkHooks({ joined, ejected } as RoomHooks));
    if (typeof handler !== 'function') problems.push({ path: 'handler', message: `must be a function (got ${describe(handler)})` });
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    return this.subscribe(room, value, { message: handler, ...(joined && { joined }), ...(ejected && { ejected }) }, (subscriber) => void this.joined.add(subscriber));
  }

  /**
   * Ends every subscription that `join` has made in the room; those of handlers added before the start stay. @returns how many, when Redis knows
   */
  async leave(room: string): Promise<number> {
    const seat = (await this.shardOf(room)).seated(room);
    const joined = seat?.occupants().filter((subscriber) => this.joined.has(subscriber)) ?? [];
    await Promise.all(joined.map((subscriber) => seat?.remove(subscriber)));
    return joined.length;
  }

  /** Messages that wait in a room, in the order in which they will be shown. The current one is not among them. */
  async peek(room: string, offset = 0, limit = 100): Promise<PeekedMessage[]> {
    checkCounts({ offset, limit });
    if (limit === 0) return [];
    return (await (await this.shardOf(room)).store.peek(room, offset, limit)).map(peeked);
  }

  /** Backlog, current message, members, and who still owes an acknowledgement. */
  async state(room: string): Promise<RoomState> {
    return stateOf(room, await (await this.shardOf(room)).store.state(room));
  }

  /** Ends a room: everybody in it is told, what waits is dropped. @returns how many messages were dropped @throws ConnectionError when a key of it is something else */
  async remove(room: string): Promise<number> {
    return (await this.shardOf(room)).store.remove(room);
  }

  async metrics(query: { readonly topRooms?: number } = {}): Promise<FanoutMetrics> {
    const problems: OptionProblem[] = [];
    const { topRooms: count = 10, ...more } = objectOf(query, 'options', problems);
    problems.push(...checkKeys(more, ['topRooms']));
    checkCounts({ topRooms: count }, problems);
    const shards = await this.allShards();
    const rooms = await Promise.all(shards.map(({ store }) => store.roomCount()));
    const largest = count === 0 ? [] : (await Promise.all(shards.map(({ store }) => store.largest(count)))).flat();
    return {
      rooms: rooms.reduce((sum, n) => sum + n, 0),
      subscribedRooms: shards.reduce((sum, shard) => sum + shard.roomCount, 0),
      subscribers: shards.reduce((sum, shard) => sum + shard.subscriberCount, 0),
      received: this.counts.received,
      invalid: this.counts.invalid,
      latencyMs: this.counts.latency.summary(),
      topRooms: largest.sort((a, b) => b.backlog - a.backlog).slice(0, count),
    };
  }

  /** @internal One per shard. @throws as {@link send} */
  async stores(): Promise<RoomStore[]> {
    return (await this.allShards()).map(({ store }) => store);
  }

  /** @internal To be started with the engine. */
  add(target: RoomTarget): void {
    this.targets.push(target);
  }

  /** @internal Subscribes what was added. */
  async start(): Promise<void> {
    await Promise.all(this.targets.map((target) => this.startTarget(target)));
  }

  /** @internal Leaves all rooms when their handlers have ended. Sending still works. */
  stop(): Promise<void> {
    return (this.stopping ??= Promise.all([...this.shards.values()].map((shard) => shard.stop())).then(() => undefined));
  }

  /** @internal */
  async close(): Promise<void> {
    this.closed = true;
    this.ending.abort();
    await Promise.all([...this.shards.values()].map((shard) => shard.close()));
  }

  private async startTarget({ room, tuning, handlers }: RoomTarget): Promise<void> {
    const matcher = roomMatcher(room);
    if (matcher.room !== undefined) return void (await this.subscribe(matcher.room, tuning, handlers));
    // Of a room that was removed and is born again the subscription is gone, so the next news of it joins anew.
    const joined = new Map<string, RoomSubscription | undefined>();
    // Rooms come and go by the thousand: of those that are gone nothing is kept. One that is there all the same was born before its end was heard of.
    const watched: RoomHandlers = {
      message: (data, context) => handlers.message(data, context),
      joined: (event) => handlers.joined?.(event),
      ejected: (event) => {
        if (!event.rejoins) joined.delete(event.room);
        if (event.reason === 'removed') void this.exists(event.room).then((exists) => exists && heard(event.room), () => undefined);
        return handlers.ejected?.(event);
      },
    };
    const heard = (name: string): void => {
      const known = joined.get(name);
      if (!matcher.matches(name) || (joined.has(name) && known?.active !== false)) return;
      joined.set(name, undefined);
      this.subscribe(name, tuning, watched).then(
        (subscription) => void (subscription.active ? joined.set(name, subscription) : joined.delete(name)),
        (error: Error) => {
          joined.delete(name);
          if (!this.stopping) this.context.onError(error, { room: name, during: `joining it for the pattern ${matcher.text}` });
        },
      );
    };
    const shards = await this.allShards();
    if (this.stopping) throw new ClosedError('the fanout client');
    await Promise.all(shards.map((shard) => shard.watch(heard)));
  }

  private async exists(room: string): Promise<boolean> {
    return (await (await this.shardOf(room)).store.state(room)).number !== '0';
  }

  private async subscribe(room: string, tuning: ResolvedRoomTuning, handlers: RoomHandlers, made?: (subscriber: Subscriber) => void): Promise<RoomSubscription> {
    const shard = await this.shardOf(room);
    if (this.stopping) throw new ClosedError('the fanout client');
    await shard.enter();
    const seat = shard.seat(room);
    const subscriber = new Subscriber(`${this.label}/${++this.subscribers}`, tuning, handlers, seat);
    made?.(subscriber);
    const inside = await seat.add(subscriber);
    if (!inside && subscriber.state === 'gone') throw new ClosedError(`the subscription of the room "${room}"`);
    return {
      room,
      subscriber: subscriber.id,
      get active() {
        return subscriber.state !== 'gone';
      },
      leave: () => seat.remove(subscriber),
    };
  }

  /** @throws InvalidOptionsError | FanoutMismatchError | ClosedError */
  private async shardOf(room: string): Promise<FanoutShard> {
    const problems = checkRoom(room);
    if (problems.length > 0) throw new InvalidOptionsError(problems);
    await this.registered();
    return this.shard(slotOf(room) % this.options.shards);
  }

  private async allShards(): Promise<FanoutShard[]> {
    await this.registered();
    return Array.from({ length: this.options.shards }, (_, shard) => this.shard(shard));
  }

  private shard(index: number): FanoutShard {
    const known = this.shards.get(index);
    if (known) return known;
    if (this.closed) throw new ClosedError('the fanout client');
    const shard = new FanoutShard(this.options, index, {
      ...this.context,
      counts: this.counts,
      rejoined: () => void this.registerAgain(),
      onError: (error, context) => this.context.onError(error, context),
      failed: (error) => this.context.onError(error, { during: 'joining a fanout shard: this process is in no room of it' }),
    });
    this.shards.set(index, shard);
    return shard;
  }

  /** A session was lost, perhaps with all that the server knew: the next process must not be taken for the first. */
  private async registerAgain(): Promise<void> {
    try {
      await this.register();
    } catch (error) {
      if (!this.stopping) this.context.onError(error as Error, { during: 'registering fanout.shards again' });
    }
  }

  /** @throws ClosedError | ConnectionError | FanoutMismatchError */
  private registered(): Promise<void> {
    return (this.registering ??= this.register().catch((error: unknown) => {
      this.registering = undefined;
      if (error instanceof RedisStreamsError) throw error;
      if (this.ending.signal.aborted) throw new ClosedError('the fanout client');
      throw new ConnectionError(`registering fanout.shards failed: ${(error as Error).message}`, error);
    }));
  }

  private register(): Promise<void> {
    return patiently(() => registerFanout(this.context.redis, this.options, this.context.identity.name), this.ending.signal);
  }
}
