import { ClosedError, ConnectionError } from '../errors/index.js';
import type { WireMessage } from '../kernel/room-wire.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ErrorContext } from '../options.js';
import { Batcher } from '../redis/batcher.js';
import type { Channels } from '../redis/channels.js';
import type { RedisConnection } from '../redis/connection.js';
import { withDeadline } from '../redis/deadline.js';
import type { ConsumerIdentity } from '../session/identity.js';
import { Membership } from '../session/membership.js';
import type { ResolvedSession } from '../session/options.js';
import { Acknowledger } from './acknowledger.js';
import type { Manner } from './answering.js';
import { Caretaker } from './caretaker.js';
import { Changes } from './changes.js';
import { RoomLatency } from './latency.js';
import type { ResolvedFanout } from './options.js';
import { Seat } from './seat.js';
import type { SeatHost } from './seat-host.js';
import { RoomSender } from './sender.js';
import type { Admission } from './standing.js';
import { RoomStore, type Departure, type Ejected } from './store.js';

export interface ShardContext {
  readonly redis: RedisConnection;
  readonly events: RedisStreamsEvents;
  readonly identity: ConsumerIdentity;
  readonly session: ResolvedSession;
  readonly commandTimeoutMs: number;
  readonly drainMs: number;
  readonly counts: RoomCounts;
  onError(error: Error, context: ErrorContext): void;
  /** Another session, after one was lost. */
  rejoined(): void;
  /** Joining is hopeless. */
  failed(error: Error): void;
}

/** What a process has received, over all shards. */
export class RoomCounts {
  received = 0;
  invalid = 0;
  readonly latency = new RoomLatency();
}

/** Rooms in one script call. */
const BATCH = 100;
/** What became of a room from which a dead session has departed. */
const UNTOUCHED: Ejected = { late: [], redelivered: undefined, buried: undefined, refusal: undefined, isOut: false };

/** One shard of rooms as one process sees it: one session, one subscriber connection, a seat in each room it is in. */
export class FanoutShard implements SeatHost {
  readonly store: RoomStore;
  readonly sender: RoomSender;
  private readonly seats = new Map<string, Seat>();
  private readonly caretaker: Caretaker;
  private membership: Membership | undefined;
  private starting: Promise<void> | undefined;
  private hearing: Channels | undefined;
  private readonly joins: Batcher<{ room: string; sync: boolean }, Admission>;
  private readonly parts: Batcher<Departure, Ejected>;
  private readonly acks: Acknowledger;
  private readonly arrivals = new Changes();
  private stopped = false;
  /** The session was lost, and there is none since. */
  private bereft = false;

  constructor(
    private readonly options: ResolvedFanout,
    private readonly shard: number,
    private readonly context: ShardContext,
  ) {
    this.store = new RoomStore(context.redis, options, shard);
    this.sender = new RoomSender({
      store: this.store,
      listen: (channel, heard) => this.channels().join(channel, heard),
      tend: () => this.membership === undefined && this.caretaker.look(),
      onError: (error, room) => context.onError(error, { room, during: `asking for outcomes in ${this.scope}` }),
    });
    this.caretaker = new Caretaker(this.store, options, context.session, {
      events: context.events,
      latency: context.counts.latency,
      session: () => this.session(),
      expectPeer: (ms) => this.membership?.expectPeer(ms),
      owing: (rooms) => rooms.filter((room) => this.seats.get(room)?.isMember && !this.seats.get(room)!.isBusy),
      fetched: (room, text) => this.fetched(room, text),
      onError: (error, room) => context.onError(error, { ...(room !== undefined && { room }), during: `looking after the rooms of ${this.scope}` }),
    });
    const batch = { maxItems: BATCH, maxBytes: Infinity, maxPendingItems: Infinity, maxPendingBytes: Infinity };
    this.joins = new Batcher({ ...batch, what: 'joining rooms', send: (rooms) => this.joinAll(rooms) });
    this.parts = new Batcher({ ...batch, what: 'leaving rooms', send: (departures) => this.partAll(departures) });
    this.acks = new Acknowledger({ store: this.store, session: () => this.session(), call: (command) => this.hearing?.call(command), tell: (command) => this.hearing?.tell(command) === true });
  }

  get events(): RedisStreamsEvents {
    return this.context.events;
  }

  get roomCount(): number {
    return [...this.seats.values()].filter(({ isMember }) => isMember).length;
  }

  get subscriberCount(): number {
    let count = 0;
    for (const { size } of this.seats.values()) count += size;
    return count;
  }

  private get scope(): string {
    return `fanout ${this.options.namespace === undefined ? '' : `${this.options.namespace}:`}${this.shard}`;
  }

  /** The room's seat; made when there is none. @throws ClosedError once stopped: nobody would take it out again */
  seat(room: string): Seat {
    if (this.stopped) throw new ClosedError('the fanout client');
    const known = this.seats.get(room);
    if (known) return known;
    const seat = new Seat(room, this);
    this.seats.set(room, seat);
    return seat;
  }

  seated(room: string): Seat | undefined {
    return this.seats.get(room);
  }

  /** Tells of every room there is, and of each that is born, perhaps more than once. Needs a session, so it joins. */
  async watch(heard: (room: string) => void): Promise<void> {
    this.caretaker.watch(heard);
    await this.enter();
    this.caretaker.look();
  }

  /** Joins the shard, once. @throws ConsumerNameInUseError | ClosedError */
  enter(): Promise<void> {
    if (this.stopped) return Promise.reject(new ClosedError('the fanout client'));
    return (this.starting ??= this.start().catch((error: unknown) => {
      this.starting = undefined;
      throw error;
    }));
  }

  /** Seats end, each as soon as its handlers have, then the session. */
  async stop(): Promise<void> {
    this.stopped = true;
    const { drainMs, commandTimeoutMs } = this.context;
    const seats = Promise.all([...this.seats.values()].map((seat) => seat.stop(drainMs)));
    await withDeadline(seats, drainMs + commandTimeoutMs, () => new ConnectionError('Redis did not answer in time')).catch((error: Error) => {
      this.context.onError(error, { during: 'leaving rooms; they go on without this process when its session expires' });
    });
    for (const seat of this.seats.values()) seat.close();
    this.arrivals.tell();
    // Before the start is waited for, which itself waits for a server for as long as it takes.
    const session = await this.membership?.stop();
    await this.starting?.catch(() => undefined);
    this.caretaker.close();
    if (!session) return;
    try {
      await this.caretaker.depart(session);
      this.events.emit('session.left', { scope: this.scope, session });
    } catch (error) {
      this.context.onError(error as Error, { during: `leaving ${this.scope}; its session expires by itself` });
    }
  }

  /** After `stop`: nothing is sent any more. */
  async close(): Promise<void> {
    await this.sender.close();
    // What was sent after the stop has asked it to look after the rooms.
    this.caretaker.close();
    this.hearing?.close();
  }

  // For the seats.

  session(): string | undefined {
    return this.membership?.session;
  }

  async hear(room: string, listener: (text: string) => void): Promise<void> {
    await this.channels().join(this.store.channel(room), listener);
  }

  deafen(room: string): void {
    this.hearing?.leave(this.store.channel(room));
  }

  async join(room: string, sync: boolean): Promise<Admission> {
    await this.acks.settled();
    return this.joins.add({ room, sync });
  }

  async leave(room: string): Promise<void> {
    await this.part({ room });
  }

  async forgo(room: string, turn: number): Promise<boolean> {
    const { isOut, refusal } = await this.part({ room, forgone: turn });
    if (refusal) throw refusal;
    return !isOut;
  }
  acknowledge(room: string, turn: number, ejected: readonly string[], manner: Manner): Promise<boolean> {
    return this.acks.add(room, turn, ejected, manner);
  }

  again(room: string, turn: number): void {
    this.acks.again(room, turn);
  }

  passed(room: string): void {
    this.acks.passed(room);
  }

  received(message: WireMessage): void {
    const { counts } = this.context;
    counts.received++;
    if (message.sentAt === 0) return; // out of band: nobody waits for it
    counts.latency.arrived(message.sentAt);
    this.caretaker.shown();
  }

  invalid(): void {
    this.context.counts.invalid++;
  }

  empty(seat: Seat): void {
    if (seat.size === 0 && this.seats.get(seat.room) === seat) this.seats.delete(seat.room);
  }

  onError(error: Error, context: ErrorContext): void {
    this.context.onError(error, context);
  }

  private async start(): Promise<void> {
    const { redis, identity, session, commandTimeoutMs, events } = this.context;
    const membership = new Membership(
      redis,
      { scope: this.scope, keys: this.store.keys, identity, session, meta: String(session.ttlMs), commandTimeoutMs },
      events,
      {
        joined: () => {
          if (this.bereft) this.context.rejoined();
          this.bereft = false;
          this.arrivals.tell();
          this.caretaker.look();
        },
        lost: () => {
          this.bereft = true;
          for (const seat of this.seats.values()) seat.sessionLost();
        },
        look: () => this.caretaker.look(),
        failed: (error) => this.context.failed(error),
        trouble: (error) => this.context.onError(error, { during: `joining ${this.scope} again` }),
      },
    );
    this.membership = membership;
    await membership.start();
  }

  private channels(): Channels {
    return (this.hearing ??= this.context.redis.channelsFor(this.store.keys.sessions, () => {
      this.sender.restored();
      this.caretaker.catchUp([...this.seats.values()].filter(({ isMember }) => isMember).map(({ room }) => room));
    }));
  }

  /** The live session; waits for one. */
  private async live(): Promise<string> {
    void this.enter().catch((error: Error) => this.stopped || this.context.failed(error));
    for (;;) {
      const session = this.session();
      if (session !== undefined) return session;
      if (this.stopped) throw new ClosedError('the fanout client');
      await this.arrivals.next();
    }
  }

  private async joinAll(rooms: ReadonlyArray<{ room: string; sync: boolean }>): Promise<ReadonlyArray<Admission | Error>> {
    const session = await this.live();
    const admissions = await this.store.join(session, rooms);
    if (admissions) return admissions;
    this.membership?.refused(session);
    throw new ConnectionError(`the session ${session} is dead`);
  }

  private async part(departure: Departure): Promise<Ejected> {
    const { room } = departure;
    await this.acks.settled();
    const ejected = await this.parts.add(departure);
    const { redelivered, buried, refusal } = ejected;
    // Who forgoes a message asks again, and tells.
    if (refusal && departure.forgone === undefined) this.context.onError(refusal, { room, during: 'leaving' });
    if (redelivered !== undefined) this.events.emit('room.redelivered', { room, id: redelivered });
    if (buried !== undefined) this.events.emit('room.deadLettered', { room, id: buried });
    return ejected;
  }

  private async partAll(departures: readonly Departure[]): Promise<readonly Ejected[]> {
    const session = this.session();
    // A dead session is out of all rooms, or will be.
    return session === undefined ? departures.map(() => UNTOUCHED) : this.store.leave(session, departures);
  }

  private fetched(room: string, text: string): void {
    const seat = this.seats.get(room);
    if (text === '-') seat?.expelled();
    else if (text !== '') seat?.heard(text);
  }
}

