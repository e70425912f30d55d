import { isTransient } from '../kernel/server-errors.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ResolvedSession } from '../session/options.js';
import type { RoomLatency } from './latency.js';
import type { ResolvedFanout } from './options.js';
import { GRACE_MS, type Attention, type Ejected, type RoomStore } from './store.js';

/** Hears of every room there is, and of each that is born. */
interface Watcher {
  heard(room: string): void;
  /** The highest number it has heard of: who begins to watch later hears of all of them too. */
  since: number;
}

/** Rooms in one script call. */
const BATCH = 100;
/** Deadlines lie close when many rooms are busy: they are not looked at more often than this. */
const SOONEST_MS = 200;

export interface CaretakerHost {
  readonly events: RedisStreamsEvents;
  readonly latency: RoomLatency;
  session(): string | undefined;
  /** The next deadline of a session is in so many ms, or -1. */
  expectPeer(ms: number): void;
  /** Those of these rooms whose message may have been missed here. */
  owing(rooms: readonly string[]): readonly string[];
  /** What a fetch found in a room. */
  fetched(room: string, text: string): void;
  onError(error: Error, room?: string): void;
}

/**
 * Keeps the rooms of a shard going: ejects the dead and the late, fetches what was missed, hears of rooms that are born. Every
 * process does this, at each heartbeat and each deadline, so it depends on none; what two do at once changes nothing twice.
 */
export class Caretaker {
  private looking = false;
  private again = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly watchers: Watcher[] = [];
  private skip = 0;
  private closed = false;

  constructor(
    private readonly store: RoomStore,
    private readonly options: ResolvedFanout,
    private readonly session: ResolvedSession,
    private readonly host: CaretakerHost,
  ) {}

  watch(heard: (room: string) => void): void {
    this.watchers.push({ heard, since: 0 });
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  /** A message is current: when its time is over somebody has to look, and the next heartbeat may be later than that. */
  shown(): void {
    if (this.timer === undefined) this.expect(this.options.ackTimeoutMs + GRACE_MS);
  }

  look(): void {
    this.again = true;
    if (!this.looking && !this.closed) void this.lookAround();
  }

  /** These may have missed something: asks for what they owe. */
  catchUp(rooms: readonly string[]): void {
    void this.fetch(rooms);
  }

  private async lookAround(): Promise<void> {
    this.looking = true;
    try {
      while (this.again && !this.closed) {
        this.again = false;
        await this.once();
      }
    } catch (error) {
      // Every heartbeat looks again; what is no passing trouble the operator shall see.
      if (!isTransient(error)) {
        if (!this.closed) this.host.onError(error as Error);
      } else if (this.host.session() !== undefined) this.expect(SOONEST_MS); // a dead peer may have been what it was about
    } finally {
      this.looking = false;
    }
  }

  private async once(): Promise<void> {
    const { store, host } = this;
    const watchers = [...this.watchers];
    const since = watchers.length === 0 ? undefined : Math.min(...watchers.map((watcher) => watcher.since));
    const asked = performance.now();
    const found = await store.look(since, this.options.ackTimeoutMs - this.session.heartbeatMs, this.skip);
    host.latency.compare(found.serverUs, performance.now() - asked);
    this.expect(found.nextDeadlineMs);
    host.expectPeer(found.nextSessionMs);
    for (const watcher of watchers) tell(watcher, found.born);
    if (found.born.length === 500) this.again = true;
    for (const dead of found.dead) await this.bury(dead);
    if (found.dead.length === 100) this.again = true;
    for (let i = 0; i < found.overdue.length; i += BATCH) await this.expire(found.overdue.slice(i, i + BATCH));
    if (found.overdue.length > 0) this.again = true;
    this.skip = found.old.length === 500 ? this.skip + 500 : 0;
    await this.fetch(host.owing(found.old));
  }

  /** None is known of (-1): what was shown since may have set the timer, so it stays. */
  private expect(ms: number): void {
    if (ms < 0 || this.closed) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.look();
    }, Math.max(SOONEST_MS, Math.min(ms, 3_600_000)) + 1 + Math.random() * 20);
  }

  /** Takes a dead session out of its rooms, so that they go on, then forgets it. */
  private async bury(session: string): Promise<void> {
    for (let rooms = 0; ; ) {
      const some = await this.store.roomsOf(session, BATCH);
      if (some.length === 0) {
        if ((await this.store.part(session, false)) && rooms > 0) this.host.events.emit('room.expelled', { session, reason: 'dead', rooms });
        return;
      }
      const ejected = await this.store.bury(session, some);
      if (!ejected) return;
      rooms += some.length;
      this.tell(some, ejected);
    }
  }

  /** Takes a session that says good-bye out of whatever it is still noted in, then forgets it. */
  async depart(session: string): Promise<void> {
    for (;;) {
      if (await this.store.part(session, true)) return;
      const rooms = await this.store.roomsOf(session, BATCH);
      this.tell(rooms, await this.store.leave(session, rooms.map((room) => ({ room }))));
    }
  }

  private async expire(rooms: readonly string[]): Promise<void> {
    const ejected = await this.store.expire(rooms);
    ejected.forEach(({ late }, i) => {
      for (const session of late) this.host.events.emit('room.expelled', { session, reason: 'timeout', rooms: 1, room: rooms[i]! });
    });
    this.tell(rooms, ejected);
  }

  private tell(rooms: readonly string[], ejected: readonly Ejected[]): void {
    ejected.forEach(({ redelivered, buried, refusal }, i) => {
      if (refusal) this.host.onError(refusal, rooms[i]);
      if (redelivered !== undefined) this.host.events.emit('room.redelivered', { room: rooms[i]!, id: redelivered });
      if (buried !== undefined) this.host.events.emit('room.deadLettered', { room: rooms[i]!, id: buried });
    });
  }

  private async fetch(rooms: readonly string[]): Promise<void> {
    const session = this.host.session();
    if (session === undefined || this.options.maxRedeliveries === 0) return;
    try {
      for (let i = 0; i < rooms.length; i += BATCH) {
        const chunk = rooms.slice(i, i + BATCH);
        const found = await this.store.fetch(session, chunk);
        if (this.host.session() !== session) return; // the answer is about another
        found.forEach((text, at) => this.host.fetched(chunk[at]!, text));
      }
    } catch (error) {
      if (!isTransient(error) && !this.closed) this.host.onError(error as Error);
    }
  }
}

function tell(watcher: Watcher, born: Attention['born']): void {
  for (const [room, number] of born) {
    if (number <= watcher.since) continue;
    watcher.since = number;
    watcher.heard(room);
  }
}
