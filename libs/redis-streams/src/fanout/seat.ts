import type { EjectReason } from '../errors/index.js';
import { parseNotice, type WireMessage } from '../kernel/room-wire.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ErrorContext } from '../options.js';
import { sleep } from '../redis/sleep.js';
import { Answering } from './answering.js';
import { Changes } from './changes.js';
import { Occupants, type SeatMode } from './occupants.js';
import { isForbidden } from './refusals.js';
import type { SeatHost } from './seat-host.js';
import { Showing, shownMessage, type ShowingHost } from './showing.js';
import { Standing, type StandingHost } from './standing.js';
import type { Subscriber, SubscriberHost, ShownMessage } from './subscriber.js';
import type { EjectedSubscriber } from './types.js';

/**
 * A process's place in one room: one subscription and one acknowledgement for all its local subscribers. A message that none
 * of those who were shown it has acknowledged is accounted for as that, whoever else is here.
 */
export class Seat implements SubscriberHost, ShowingHost, StandingHost {
  private readonly standing: Standing;
  private readonly subscribers = new Occupants();
  private joinedAfter = 0;
  private lastTurn = 0;
  private current: Showing | undefined;
  private readonly answering = new Answering();
  private readonly changes = new Changes();
  /** Why nobody may come in. */
  private refusal: Error | undefined;

  constructor(
    readonly room: string,
    private readonly host: SeatHost,
  ) {
    this.standing = new Standing(room, host, this);
  }

  get events(): RedisStreamsEvents {
    return this.host.events;
  }

  get size(): number {
    return this.subscribers.size;
  }

  occupants(): readonly Subscriber[] {
    return [...this.subscribers];
  }

  get isMember(): boolean {
    return this.standing.mode !== 'out';
  }

  /** A message is being handled: nothing to fetch. */
  get isBusy(): boolean {
    return this.current !== undefined && !this.current.done && this.current.waiting.size > 0;
  }

  /** Resolves when the subscriber is in; false: it went away before. @throws ConnectionError when this user has no right to be in the room */
  async add(subscriber: Subscriber): Promise<boolean> {
    this.subscribers.add(subscriber);
    this.refusal = undefined;
    void this.standing.look();
    while (subscriber.state === 'pending' && !this.standing.isClosed) {
      await this.changes.next();
      if (subscriber.state !== 'pending' || !this.refusal) continue;
      this.dismiss(subscriber, 'left', 'gone');
      throw this.refusal;
    }
    return subscriber.state === 'active';
  }

  async remove(subscriber: Subscriber): Promise<void> {
    if (!this.subscribers.has(subscriber)) return;
    this.events.emit('room.left', { room: this.room, subscriber: subscriber.id });
    this.dismiss(subscriber, 'left', 'gone');
    await this.standing.look();
  }

  /** The session is gone, and with it the membership. */
  sessionLost(): void {
    this.lost();
    this.ejectAll('session-lost');
  }

  /** Ends: waits for handlers that run, for `ms` at most, then leaves. */
  async stop(ms: number): Promise<void> {
    const all = new AbortController();
    let late = false;
    const timeout = sleep(ms, all.signal).then(() => void (late = true));
    while (this.subscribers.size > 0) {
      const ended = [...this.subscribers].filter((subscriber) => late || !subscriber.busy);
      for (const subscriber of ended) this.dismiss(subscriber, 'left', 'gone');
      // Only then: a look tells of a change, and would turn this into a loop that lets nothing else run.
      if (ended.length > 0) void this.standing.look();
      if (this.subscribers.size > 0) await Promise.race([this.changes.next(), timeout]);
    }
    all.abort();
    return this.standing.look();
  }

  /** No step any more: the connection is about to close. */
  close(): void {
    this.standing.close();
    for (const subscriber of [...this.subscribers]) this.dismiss(subscriber, 'left', 'gone');
    this.changes.tell();
  }

  /** What the room's channel said, or a fetch found. */
  heard(text: string): void {
    const notice = parseNotice(text);
    switch (notice?.kind) {
      case 'message':
        if (!this.standing.keep(notice.message)) this.shown(notice.message);
        return;
      case 'outOfBand':
        return this.outOfBand(notice.message);
      case 'ejected':
        if (this.standing.mode !== 'out' && notice.session === this.host.session()) this.expelled();
        return;
      case 'again':
        this.answering.again();
        if (notice.session === this.host.session()) this.host.again(this.room, notice.turn);
        return;
      case 'removed':
        this.lost();
        return this.ejectAll('removed');
      default:
        this.invalid(undefined, new Error(`unknown notice ${text.slice(0, 40)}`));
    }
  }

  /** The room went on without us. */
  expelled(): void {
    if (this.standing.mode === 'out') return;
    this.lost();
    this.ejectAll('expired');
  }

  // From the subscribers.

  acknowledged(subscriber: Subscriber, id: string): void {
    const { current } = this;
    if (current?.id !== id || !current.waiting.delete(subscriber)) return;
    current.acknowledged = true;
    if (current.waiting.size === 0) this.finish(current);
  }

  ejected(subscriber: Subscriber, reason: EjectReason, messageId: string | undefined): void {
    if (subscriber.state !== 'active') return;
    this.current?.ejected.push(subscriber.id);
    this.eject(subscriber, reason, messageId);
  }

  rested(subscriber: Subscriber): void {
    if (subscriber.state === 'resting') {
      subscriber.state = 'pending';
      void this.standing.look();
    }
    this.changes.tell();
  }

  onError(error: Error, context: ErrorContext): void {
    this.host.onError(error, context);
  }

  // From what is shown.

  acknowledge(turn: number, ejected: readonly string[], again: boolean): Promise<boolean> {
    return this.answering.acknowledge(!again && ejected.length === 0, (manner) => this.host.acknowledge(this.room, turn, ejected, manner));
  }

  isCurrent(showing: Showing): boolean {
    return this.current === showing && !this.standing.isClosed;
  }

  // From its standing. Methods, as all of these: of rooms there are thousands, and a closure for each would be a quarter of one.

  wanted(): SeatMode {
    return this.subscribers.wanted();
  }

  excused(turn?: number): void {
    if (turn === undefined || this.current?.turn === turn) this.current = undefined;
  }

  idle(): void {
    this.host.empty(this);
  }

  trouble(error: Error): void {
    this.host.onError(error, { room: this.room, during: 'joining or leaving' });
    if (!isForbidden(error)) return;
    this.refusal = error;
    this.changes.tell();
  }

  /** Those who wait are in, as far as the process is what they need. */
  arrived(after?: number, fresh = false): void {
    const { mode } = this.standing;
    if (after !== undefined && fresh) {
      this.joinedAfter = after;
      this.lastTurn = 0;
    }
    for (const subscriber of this.subscribers) {
      if (subscriber.state !== 'pending' || (subscriber.sync && mode !== 'sync') || mode === 'out') continue;
      subscriber.after = Math.max(after ?? 0, this.lastTurn);
      subscriber.state = 'active';
      this.events.emit('room.joined', { room: this.room, subscriber: subscriber.id });
      void subscriber.hook('joined', { room: this.room, subscriber: subscriber.id } as never);
      // Shown while nobody here was in a state to see it, and still owed.
      const { current } = this;
      if (!subscriber.sync || !current?.message || current.done || current.waiting.size > 0 || this.standing.forgoes(current.turn)) continue;
      current.waiting.add(subscriber);
      subscriber.show(current.message);
    }
    this.changes.tell();
  }

  shown(wire: WireMessage): void {
    if (this.standing.mode === 'out' || this.host.session() === undefined) return;
    if (wire.turn <= this.lastTurn) {
      // Shown again: by a fetch, or by a second delivery. If all here have acknowledged, the answer was lost.
      if (this.current?.id === wire.id && this.current.done && wire.turn === this.lastTurn) void this.current.tell();
      return;
    }
    if (wire.turn <= this.joinedAfter) return;
    this.answering.shown(wire.turn - this.lastTurn);
    this.lastTurn = wire.turn;
    this.host.passed(this.room);
    this.host.received(wire);
    const message = this.read(wire, false);
    const active: Subscriber[] = [];
    const waiting = new Set<Subscriber>();
    for (const subscriber of this.subscribers) {
      if (subscriber.state !== 'active' || subscriber.after >= wire.turn) continue;
      active.push(subscriber);
      if (subscriber.sync && message) waiting.add(subscriber);
    }
    const shown = new Showing(this.room, wire.id, wire.turn, message, waiting, this);
    this.current = shown;
    // The handler of one may end another.
    if (message) for (const subscriber of active) if (subscriber.state === 'active') subscriber.show(message);
    // Here nobody owes anything, so nobody who comes later is to see it.
    if (this.standing.mode === 'async') shown.finish(false);
    // Nobody to wait for: what all of us can say at once. Unless we are on the way out, which says that nobody saw it.
    if (shown.waiting.size === 0 && !shown.done && this.standing.mode === 'sync' && (!message || this.subscribers.activeSync())) this.finish(shown);
  }

  /** Out, by what others did. */
  private lost(): void {
    this.standing.lost();
    this.current = undefined;
    this.answering.lost();
  }

  private outOfBand(wire: WireMessage): void {
    if (this.standing.mode === 'out' || this.host.session() === undefined) return;
    this.host.received(wire);
    const message = this.read(wire, true);
    if (message) for (const subscriber of this.subscribers) if (subscriber.state === 'active') subscriber.show(message);
  }

  private read(wire: WireMessage, outOfBand: boolean): ShownMessage | undefined {
    try {
      return shownMessage(this.room, wire, outOfBand);
    } catch (error) {
      this.invalid(wire.id, error as Error);
      return undefined;
    }
  }

  private invalid(id: string | undefined, error: Error): void {
    this.host.invalid();
    this.events.emit('room.invalid', { room: this.room, id, error });
  }

  /** All who were to see it here have. */
  private finish(current: Showing): void {
    if (!this.standing.forgoes(current.turn)) current.finish(this.standing.mode === 'sync');
  }

  private ejectAll(reason: EjectReason): void {
    for (const subscriber of [...this.subscribers]) {
      if (subscriber.state === 'active' && (subscriber.sync || reason === 'removed')) this.eject(subscriber, reason, undefined);
      else if (subscriber.state === 'active') subscriber.state = 'pending';
      else if (reason === 'removed') this.dismiss(subscriber, reason, 'gone');
    }
    void this.standing.look();
  }

  private eject(subscriber: Subscriber, reason: EjectReason, messageId: string | undefined): void {
    const rejoins = subscriber.tuning.whenEjected === 'rejoin' && reason !== 'removed' && !this.standing.isClosed;
    this.dismiss(subscriber, reason, rejoins ? 'resting' : 'gone');
    const event: EjectedSubscriber = { room: this.room, subscriber: subscriber.id, reason, messageId, rejoins };
    this.events.emit('room.ejected', event);
    void subscriber.hook('ejected', event as never);
    if (rejoins && !subscriber.busy) subscriber.state = 'pending';
    void this.standing.look();
  }

  private dismiss(subscriber: Subscriber, reason: EjectReason, state: 'resting' | 'gone'): void {
    const wasActive = subscriber.state === 'active';
    subscriber.state = state;
    if (state === 'gone') this.subscribers.delete(subscriber);
    subscriber.abort(reason);
    const { current } = this;
    if (wasActive && current?.waiting.delete(subscriber) && current.waiting.size === 0 && !current.done) {
      // Others here have acknowledged, so the process does.
      if (current.acknowledged) this.finish(current);
      else this.standing.forgo(current.turn);
    }
    this.changes.tell();
  }
}
