import { ClosedError, ConsumerNameInUseError } from '../errors/index.js';
import { isTransient } from '../kernel/server-errors.js';
import { isValid, renewed, type SessionClock } from '../kernel/session-clock.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { RedisConnection } from '../redis/connection.js';
import { sleep } from '../redis/sleep.js';
import { newIncarnation, type ConsumerIdentity } from './identity.js';
import { joinScope } from './join.js';
import type { ResolvedSession } from './options.js';
import { SessionStore, type SessionKeys } from './store.js';

export interface MembershipOptions {
  /** What it is a member of, for logs. */
  readonly scope: string;
  readonly keys: SessionKeys;
  readonly identity: ConsumerIdentity;
  readonly session: ResolvedSession;
  /** Kept beside the session on the server; a capability's own (for leases, the capacity). */
  readonly meta: string | ((session: string) => string);
  readonly commandTimeoutMs: number;
}

export interface MembershipHooks {
  /** A session began; everything of an earlier one is gone. */
  joined(session: string): void;
  /** The session ended against our will: nothing it held may be touched any more. Called once per session, synchronously. */
  lost(session: string, why: 'expired' | 'silent' | 'replaced'): void;
  /** A heartbeat was accepted, or a peer passed its deadline, or the bell rang (then with what it said): look for work. */
  look(ring?: string): void;
  /** Joining is hopeless until somebody changes the configuration. */
  failed(error: Error): void;
  /** Joining failed for now and is tried again. */
  trouble(error: Error): void;
}

/**
 * One member of one scope: joins, beats, notices its own death, joins again under a new incarnation.
 *
 * The race that matters is a process that stalls (SIGSTOP, GC, a blocked event loop) past its deadline: the
 * server refuses it from the deadline on, reaped or not; locally the watchdog fires in the first turn after
 * the stall and ends the session without asking the server, and what runs earlier in that turn meets
 * `isLive()`, which reads the clock. So work stops at once even when Redis cannot be reached.
 */
export class Membership {
  private id: string | undefined;
  private clock: SessionClock | undefined;
  /** Session whose heartbeat is under way; a late answer to an earlier one must not hold this one's back. */
  private beatingFor: string | undefined;
  /** Heartbeats in a row that were not answered. */
  private missed = 0;
  private beat: NodeJS.Timeout | undefined;
  private watchdog: NodeJS.Timeout | undefined;
  private peerTimer: NodeJS.Timeout | undefined;
  private stopListening: (() => void) | undefined;
  private readonly stopping = new AbortController();
  private readonly store: SessionStore;
  private joining: Promise<void> | undefined;

  constructor(
    private readonly redis: RedisConnection,
    private readonly options: MembershipOptions,
    private readonly events: RedisStreamsEvents,
    private readonly hooks: MembershipHooks,
  ) {
    this.store = new SessionStore(redis, options.keys);
  }

  /** The live session's id, or undefined. */
  get session(): string | undefined {
    return this.isLive() ? this.id : undefined;
  }

  /** True while this process may act on what it holds. Cheap: asked before each handler call and each settle. */
  isLive(): boolean {
    return this.clock !== undefined && isValid(this.clock, performance.now());
  }

  /** Joins; waits for a server that is not there yet until stopped. @throws ConsumerNameInUseError, or what no waiting mends */
  async start(): Promise<void> {
    if (this.stopping.signal.aborted) throw new ClosedError(`the consumer of ${this.options.scope}`);
    this.stopListening = this.redis.doorbell.listen(this.options.keys.bell, (message) => this.rung(message));
    for (let failures = 0; ; failures++) {
      try {
        return await (this.joining = this.join());
      } catch (error) {
        if (!isTransient(error) || this.stopping.signal.aborted) throw error;
        await this.backOff(failures);
        if (this.stopping.signal.aborted) throw error;
      }
    }
  }

  /** Stops beating without a word to the server; the capability says good-bye with a script of its own. */
  async stop(): Promise<string | undefined> {
    this.stopping.abort();
    this.stopListening?.();
    // A join under way may be accepted yet: then there is a session to say good-bye for.
    await this.joining?.catch(() => undefined);
    this.clearTimers();
    const session = this.session;
    this.clock = undefined;
    return session;
  }

  /** The server said that this session is dead. */
  refused(session: string): void {
    if (session === this.id && this.clock) this.lose('expired');
  }

  private get name(): string {
    return this.options.identity.exclusive ? this.options.identity.name : '';
  }

  private async join(): Promise<void> {
    const { options } = this;
    const session = newIncarnation(options.identity.name);
    const joined = await joinScope({
      store: this.store,
      scope: options.scope,
      session,
      name: this.name,
      meta: typeof options.meta === 'string' ? options.meta : options.meta(session),
      options: options.session,
      timeoutMs: options.commandTimeoutMs,
      earlier: this.id,
      signal: this.stopping.signal,
    });
    this.id = session;
    this.clock = renewed(options.session, joined.sentAt);
    this.arm(joined.nextPeerMs);
    this.scheduleBeat(options.session.heartbeatMs);
    this.events.emit('session.joined', { scope: options.scope, session, ttlMs: options.session.ttlMs });
    this.hooks.joined(session);
  }

  private scheduleBeat(ms: number): void {
    clearTimeout(this.beat);
    if (!this.stopping.signal.aborted) this.beat = setTimeout(() => void this.heartbeat(), ms);
  }

  private async heartbeat(): Promise<void> {
    const { id, clock, options } = this;
    if (!id || !clock || this.beatingFor === id) return;
    this.beatingFor = id;
    const sentAt = performance.now();
    const { ttlMs, heartbeatMs } = options.session;
    let next = heartbeatMs;
    try {
      const timeoutMs = Math.min(options.commandTimeoutMs, heartbeatMs);
      // With a short ttl this deadline is short too, and a busy server may miss it: only the second miss in a row
      // is held against the connection.
      const reply = await this.store.heartbeat(id, this.name, ttlMs, timeoutMs, this.missed === 0);
      this.missed = 0;
      if (this.id !== id || !this.clock || this.stopping.signal.aborted) return;
      if (reply.status === 'live') {
        // After a stall, sockets may be read before timers fire: what was read first has found this session over, and has let
        // go of messages or outcomes. It must not be alive again when they are on nobody's mind.
        if (!this.isLive()) return this.lose('silent');
        this.clock = renewed(options.session, sentAt);
        this.arm(reply.nextPeerMs);
        const roundTripMs = performance.now() - sentAt;
        next = Math.max(0, heartbeatMs - roundTripMs);
        this.events.emit('session.renewed', { scope: options.scope, session: id, roundTripMs });
        this.hooks.look();
      } else {
        this.lose(reply.status === 'replaced' ? 'replaced' : 'expired');
      }
    } catch {
      this.missed++;
      next = Math.min(heartbeatMs, 250) / 2; // the watchdog ends this when it lasts
    } finally {
      if (this.beatingFor === id) this.beatingFor = undefined;
      if (this.id === id && this.clock) this.scheduleBeat(next);
    }
  }

  /** Timers of a live session: its own end, and the earliest end of a peer. */
  private arm(nextPeerMs: number): void {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => this.watch(), Math.max(0, (this.clock?.validUntil ?? 0) - performance.now()));
    this.expectPeer(nextPeerMs);
  }

  /** A peer's deadline in so many ms, or -1: look then. A few ms of jitter spread the watchers. */
  expectPeer(nextPeerMs: number): void {
    if (nextPeerMs < 0 || this.stopping.signal.aborted) return;
    clearTimeout(this.peerTimer);
    // Bounded: a server whose clock was set back shows deadlines far ahead, and beyond 24 days a timer fires at once.
    this.peerTimer = setTimeout(() => this.hooks.look(), Math.min(nextPeerMs, 3_600_000) + 1 + Math.random() * 4);
  }

  private watch(): void {
    if (!this.clock) return;
    const left = this.clock.validUntil - performance.now();
    if (left > 0) this.watchdog = setTimeout(() => this.watch(), left);
    else this.lose('silent');
  }

  private lose(why: 'expired' | 'silent' | 'replaced'): void {
    const session = this.id;
    if (!session || !this.clock) return;
    this.clock = undefined;
    this.clearTimers();
    this.events.emit('session.lost', { scope: this.options.scope, session, why });
    this.hooks.lost(session, why);
    if (!this.stopping.signal.aborted) this.joining = this.rejoin();
  }

  private async rejoin(): Promise<void> {
    for (let failures = 0; !this.stopping.signal.aborted; failures++) {
      try {
        return await this.join();
      } catch (error) {
        if (this.stopping.signal.aborted) return;
        if (error instanceof ConsumerNameInUseError) return this.hooks.failed(error);
        this.hooks.trouble(error as Error);
        await this.backOff(failures);
      }
    }
  }

  private backOff(failures: number): Promise<void> {
    return sleep(200 + Math.random() * Math.min(800, 100 * 2 ** failures), this.stopping.signal);
  }

  private rung(message: string): void {
    if (message.startsWith('challenge ')) {
      if (message.slice('challenge '.length) === this.id && this.isLive()) void this.heartbeat();
      return;
    }
    if (this.isLive()) this.hooks.look(message);
  }

  private clearTimers(): void {
    clearTimeout(this.beat);
    clearTimeout(this.watchdog);
    clearTimeout(this.peerTimer);
  }
}
