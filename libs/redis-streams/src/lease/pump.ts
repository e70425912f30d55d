import { isTransient } from '../kernel/server-errors.js';
import type { AcquireRequest, Grant, LeaseStore, Survey } from './store.js';

const WANT = 256;
/** Taken per look beyond the fair share, so that peers that are only slow still find theirs. */
const WANT_BEYOND_SHARE = 64;
const MAX_REPLY_BYTES = 1_048_576;
/** While work is left to peers: how often to look whether the share has grown. */
const LOOK_AGAIN_MS = 50;
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 1_000;

export interface PumpHost {
  /** The live session, or undefined: nothing may be acquired. */
  session(): string | undefined;
  /** Streams that may be taken on now. */
  room(): number;
  granted(session: string, grants: readonly Grant[]): void;
  rejected(rejects: ReadonlyArray<{ id: string; reason: string }>): void;
  surveyed(survey: Survey): void;
  refused(session: string): void;
  trouble(error: Error, retryInMs: number, failures: number): void;
  recovered(failures: number, downMs: number): void;
}

/** What one look brought, and what it left. */
interface Outcome {
  readonly left: number;
  readonly nextDueMs: number;
  readonly progress: boolean;
  readonly roomLeft: boolean;
}

export interface PumpOptions {
  readonly claim: 'auto' | 'manual';
  readonly maxEntryBytes: number;
  /** How long work above the fair share is left to peers before it is taken anyway. */
  readonly graceMs: number;
  readonly avoidMs: number;
}

/**
 * Brings work in. Level-triggered: whatever happens (bell, heartbeat, timer, blocking read) only says "look",
 * and one look at a time asks the server for everything this consumer may have. So no wake-up carries state,
 * and a lost one costs time only.
 *
 * The fair share is a preference for `graceMs`, never a reason for work to wait: what peers have not fetched
 * by then is taken beyond it.
 */
export class Pump {
  private dirty = false;
  private round: Promise<void> | undefined;
  private stopped = false;
  private offered: string[] = [];
  private beyondShareAt = Infinity;
  private graceTimer: NodeJS.Timeout | undefined;
  private dueTimer: NodeJS.Timeout | undefined;
  private retryTimer: NodeJS.Timeout | undefined;
  private failures = 0;
  private failingSince = 0;
  /** Work is known to be left over that we may not have yet. */
  private leftOver = false;
  private readonly idleWaiters: Array<() => void> = [];

  constructor(
    private readonly store: LeaseStore,
    private readonly options: PumpOptions,
    private readonly host: PumpHost,
  ) {}

  /** Something may have changed: look. */
  look(): void {
    this.dirty = true;
    if (this.round || this.stopped || this.retryTimer) return;
    this.round = this.run().finally(() => {
      this.round = undefined;
      if (this.dirty) this.look(); // said between the round's last check and here
      this.settleIdle();
    });
  }

  /** A stream has ended: look when something may be waiting for the room, else let the waiter go on. */
  roomMade(): void {
    if (this.leftOver) this.look();
    else this.settleIdle();
  }

  /** Entries delivered to this session that have no lease yet. */
  offer(ids: readonly string[]): void {
    this.offered.push(...ids);
    this.look();
  }

  /** A new session: what was offered to the old one is nobody's. */
  reset(): void {
    this.offered = [];
    this.beyondShareAt = Infinity;
    this.look();
  }

  /** Resolves when everything on offer has been taken or left to others: time to block on new entries. */
  idle(): Promise<void> {
    if (this.isIdle()) return Promise.resolve();
    return new Promise((resolve) => this.idleWaiters.push(resolve));
  }

  /** Ends after the look in progress. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.graceTimer);
    clearTimeout(this.dueTimer);
    clearTimeout(this.retryTimer);
    await this.round;
    this.settleIdle();
  }

  private isIdle(): boolean {
    return this.stopped || (!this.round && !this.retryTimer && !this.leftOver && this.host.session() !== undefined && this.host.room() > 0);
  }

  private settleIdle(): void {
    if (this.isIdle()) for (const resolve of this.idleWaiters.splice(0)) resolve();
  }

  private async run(): Promise<void> {
    while (this.dirty && !this.stopped) {
      this.dirty = false;
      const session = this.host.session();
      if (!session) return;
      const offered = this.offered.splice(0, WANT);
      try {
        await this.once(session, offered);
        if (this.offered.length > 0) this.dirty = true;
        if (this.failures > 0) {
          this.host.recovered(this.failures, performance.now() - this.failingSince);
          this.failures = 0;
        }
      } catch (error) {
        this.offered.unshift(...offered);
        this.fail(error as Error);
        return;
      }
    }
  }

  private async once(session: string, offered: readonly string[]): Promise<void> {
    const beyond = performance.now() >= this.beyondShareAt;
    // The share first, also when more is allowed: in a burst the share of the last look was that of its beginning.
    const fair = await this.take(session, offered, 'fair', WANT);
    if (!fair) return;
    const outcome = beyond && fair.left > 0 && !fair.progress && fair.roomLeft ? await this.take(session, [], 'any', WANT_BEYOND_SHARE) : fair;
    if (outcome) this.plan(outcome, beyond);
  }

  private async take(session: string, offered: readonly string[], mode: 'fair' | 'any', most: number): Promise<Outcome | undefined> {
    const room = Math.max(0, this.host.room());
    const reply = await this.store.acquire(this.request(session, offered, Math.min(room, most), mode));
    if (reply.status === 'lost') return void this.host.refused(session);
    if (this.host.session() !== session) return undefined; // lost while asking: these are others' already, or will be
    const { grants, rejects, survey } = reply;
    if (rejects.length > 0) this.host.rejected(rejects);
    if (grants.length > 0) this.host.granted(session, grants);
    this.host.surveyed(survey);
    const left = survey.undelivered + survey.orphans + survey.due;
    return { left, nextDueMs: survey.nextDueMs, progress: grants.length + rejects.length > 0, roomLeft: room > grants.length };
  }

  private plan({ left, nextDueMs, progress, roomLeft }: Outcome, beyond: boolean): void {
    clearTimeout(this.dueTimer);
    if (nextDueMs > 0) this.dueTimer = setTimeout(() => this.look(), Math.min(nextDueMs + 1, 2_147_000_000));
    this.leftOver = left > 0;
    if (left === 0 || progress) this.clearGrace();
    if (left === 0 || !roomLeft) return;
    if (progress || beyond) {
      this.clearGrace(); // nothing came although all was allowed: others were first
      this.dirty = true;
      return;
    }
    const now = performance.now();
    if (this.beyondShareAt === Infinity) this.beyondShareAt = now + this.options.graceMs;
    clearTimeout(this.graceTimer);
    this.graceTimer = setTimeout(() => this.look(), Math.max(0, Math.min(LOOK_AGAIN_MS, this.beyondShareAt - now)) + 1);
  }

  private clearGrace(): void {
    clearTimeout(this.graceTimer);
    this.beyondShareAt = Infinity;
  }

  private request(session: string, offered: readonly string[], want: number, mode: 'fair' | 'any'): AcquireRequest {
    const { claim, maxEntryBytes, avoidMs } = this.options;
    return { session, offered, want, mode, claim, maxEntryBytes, avoidMs, maxBytes: MAX_REPLY_BYTES };
  }

  private fail(error: Error): void {
    if (this.failures++ === 0) this.failingSince = performance.now();
    const base = isTransient(error) ? RETRY_MIN_MS : RETRY_MAX_MS;
    const delay = Math.round(Math.min(RETRY_MAX_MS, base * 2 ** (this.failures - 1)) * (1 + Math.random() * 0.25));
    this.host.trouble(error, delay, this.failures);
    if (this.stopped) return;
    this.retryTimer = setTimeout(() => {
      this.retryTimer = undefined;
      this.look();
    }, delay);
  }
}
