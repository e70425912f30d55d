import { AlreadyClaimedError, ConsumerNameInUseError } from '../errors/index.js';
import { handOverCount, lastingSurplus, type Surplus } from '../kernel/fair-share.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ErrorContext } from '../options.js';
import type { RedisConnection } from '../redis/connection.js';
import type { ConsumerIdentity } from '../session/identity.js';
import { Membership } from '../session/membership.js';
import type { ResolvedSession } from '../session/options.js';
import { ExpiredWatch } from './expired-watch.js';
import type { ResolvedLeaseOptions } from './options.js';
import { Portfolio } from './portfolio.js';
import { Pump } from './pump.js';
import { findUnknown } from './reconcile.js';
import { Settler } from './settler.js';
import { LeaseStore, type Survey } from './store.js';
import type { StreamTailer } from './tailer.js';
import type { LeaseHandlers, StreamLease, TerminatedConsumer } from './types.js';
import { Waiter } from './waiter.js';

const COMPARE_EVERY_MS = 1_000;
const SURPLUS_HOLD_MS = 900;

export interface LeaseConsumerContext {
  readonly redis: RedisConnection;
  readonly events: RedisStreamsEvents;
  readonly identity: ConsumerIdentity;
  readonly session: ResolvedSession;
  readonly commandTimeoutMs: number;
  readonly drainMs: number;
  readonly tailer: StreamTailer;
  onError(error: Error, context: ErrorContext): void;
}

/** Owns streams of one service for this process: where session, pump, waiter and portfolio meet. */
export class LeaseConsumer {
  private readonly store: LeaseStore;
  private readonly membership: Membership;
  private readonly portfolio: Portfolio;
  private readonly pump: Pump;
  private readonly waiter: Waiter;
  private readonly expired: ExpiredWatch;
  /** Looks in a row at which the server counted more for us than we know. */
  private surplusSeen = 0;
  /** More leases than the fair share, and since when. */
  private surplus: Surplus | undefined;
  /** An answer may have been lost: compare notes at the next look, whatever the counts say. */
  private suspect = false;
  private comparedAt = -Infinity;
  private stopping: Promise<void> | undefined;

  constructor(
    private readonly options: ResolvedLeaseOptions,
    private readonly handlers: LeaseHandlers,
    private readonly context: LeaseConsumerContext,
  ) {
    const { redis, events, session } = context;
    const { service } = options;
    this.store = new LeaseStore(redis, service);
    const { keys } = this.store;
    this.membership = new Membership(
      redis,
      { scope: keys.lbs, keys, identity: context.identity, session, meta: String(options.maxLeases), commandTimeoutMs: context.commandTimeoutMs },
      events,
      {
        joined: (id) => this.joined(id),
        lost: () => this.lost(),
        look: () => this.look(),
        failed: (error) => void this.fail(error),
        trouble: (error) => context.onError(error, { service, during: 'joining again' }),
      },
    );
    this.portfolio = new Portfolio(options, handlers, {
      events,
      tailer: context.tailer,
      onError: (error, about) => context.onError(error, about),
      roomMade: () => this.pump.roomMade(),
    });
    const reader = {
      session: () => (this.stopping ? undefined : this.membership.session),
      trouble: (error: Error, retryInMs: number, failures: number) => this.trouble(error, retryInMs, failures),
      recovered: (failures: number, downMs: number) => events.emit('reader.recovered', { service, failures, downMs }),
    };
    this.pump = new Pump(
      this.store,
      { claim: options.claim, maxEntryBytes: options.maxAnnouncementBytes, graceMs: Math.max(50, session.heartbeatMs / 2), avoidMs: session.heartbeatMs },
      {
        ...reader,
        room: () => options.maxLeases - this.portfolio.size,
        granted: (id, grants) => this.portfolio.grant(id, grants),
        rejected: (rejects) => rejects.forEach(({ id, reason }) => events.emit('lease.deadLettered', { service, entryId: id, reason })),
        surveyed: (survey) => this.surveyed(survey),
        refused: (id) => this.membership.refused(id),
      },
    );
    this.waiter = new Waiter(this.store, () => redis.blockingFor(keys.lbs), { ...reader, idle: () => this.pump.idle(), offered: (ids) => this.pump.offer(ids) });
    this.expired = new ExpiredWatch(
      this.store,
      service,
      (event) => this.portfolio.hook('expired', () => handlers.expired?.(event)),
      events,
      (stream) => this.claim(stream),
    );
  }

  get service(): string {
    return this.options.service;
  }

  /** This consumer's live session id, or undefined. */
  get session(): string | undefined {
    return this.membership.session;
  }

  /** Streams owned by this process at present. */
  held(): readonly StreamLease[] {
    return this.portfolio.all();
  }

  /** Joins and begins to take streams. @throws ConsumerNameInUseError | ConnectionError */
  async start(): Promise<void> {
    const { events, redis } = this.context;
    // A client that reconnects sends again what was unanswered: the first answer, with its grants, is lost.
    events.on('connection.ready', ({ connection, role }) => {
      if (connection === redis.name && role === 'command') this.suspect = true;
    });
    try {
      await this.membership.start();
    } catch (error) {
      await (this.stopping ??= this.shutDown(reasonOf(error), error as Error));
      throw error;
    }
    this.waiter.start();
  }

  /** Takes over one stream of a dead owner. @throws AlreadyClaimedError */
  async claim(stream: string): Promise<void> {
    const { session } = this.membership;
    if (!session || this.stopping) throw new AlreadyClaimedError(stream, undefined);
    const reply = await this.store.claim(session, stream);
    if (reply.status === 'claimed') {
      if (this.portfolio.holds(reply.grant)) throw new AlreadyClaimedError(stream, session);
      return this.portfolio.grant(session, [reply.grant]);
    }
    if (reply.status === 'lost') this.membership.refused(session);
    throw new AlreadyClaimedError(stream, reply.status === 'taken' ? reply.owner : undefined);
  }

  /** Hands everything to peers and leaves. Idempotent; bounded by twice `drainMs` and command timeouts. Never rejects. */
  stop(): Promise<void> {
    return (this.stopping ??= this.shutDown('closed'));
  }

  private joined(session: string): void {
    this.surplusSeen = 0;
    this.portfolio.open(
      new Settler(this.store, session, () => this.membership.session === session, () => this.membership.refused(session)),
    );
    this.pump.reset();
  }

  private lost(): void {
    this.waiter.interrupt();
    this.portfolio.lose();
  }

  private look(): void {
    if (this.stopping) return;
    this.pump.look();
    if (this.options.claim === 'manual') void this.expired.look().catch((error: Error) => this.trouble(error, 0, 1));
  }

  private surveyed(survey: Survey): void {
    this.membership.expectPeer(survey.nextPeerMs);
    this.handOver(survey);
    // Pending for us, unknown to us: an answer was lost on the way. Two looks in a row rule out most of what is merely
    // in flight; the comparison itself is by ids and exact, so under load a needless one costs a command a second.
    this.surplusSeen = survey.mine > this.portfolio.size ? this.surplusSeen + 1 : 0;
    if (this.suspect || (this.surplusSeen >= 2 && performance.now() - this.comparedAt > COMPARE_EVERY_MS)) void this.reconcile();
  }

  private handOver(survey: Survey): void {
    if (!this.options.handOver || survey.members < 2) return;
    const leases = this.portfolio.all();
    const asked = leases.filter((lease) => lease.abortReason === 'rebalance').length;
    const holdMs = Math.min(SURPLUS_HOLD_MS, this.context.session.heartbeatMs / 2);
    const { surplus, handOver: count } = lastingSurplus(this.surplus, handOverCount(leases.length, asked, survey.share), performance.now(), holdMs);
    this.surplus = surplus;
    if (count === 0) return;
    this.context.events.emit('lease.handOver', { service: this.service, asked: count, held: leases.length, share: survey.share });
    // The youngest first: least has been done on them.
    for (const lease of leases.reverse().filter((l) => !l.abortReason).slice(0, count)) this.portfolio.askBack(lease, 'rebalance');
  }

  private async reconcile(): Promise<void> {
    this.surplusSeen = 0;
    this.suspect = false;
    this.comparedAt = performance.now();
    const { session } = this.membership;
    if (!session) return;
    try {
      this.pump.offer(await findUnknown(this.store, session, () => this.portfolio.ids()));
    } catch (error) {
      // Again at the next heartbeat's look. Looking now would compare, fail and look again as fast as Redis answers.
      this.suspect = true;
      const { service, context } = this;
      context.events.emit('reader.error', { service, error: error as Error, retryInMs: context.session.heartbeatMs, failures: 1 });
    }
  }

  private trouble(error: Error, retryInMs: number, failures: number): void {
    this.suspect = true; // what was asked for may have been granted all the same
    this.context.events.emit('reader.error', { service: this.service, error, retryInMs, failures });
    this.pump.look();
  }

  private async fail(error: Error): Promise<void> {
    this.context.onError(error, { service: this.service, during: 'joining again' });
    await (this.stopping ??= this.shutDown(reasonOf(error), error));
  }

  /** What was delivered while the readers were being stopped: peers shall not wait for it until the drain is over. */
  private async giveBackUnknown(): Promise<void> {
    const { session } = this.membership;
    if (!session) return;
    const { claim, maxAnnouncementBytes: maxEntryBytes } = this.options;
    try {
      const offered = await findUnknown(this.store, session, () => this.portfolio.ids());
      if (offered.length === 0) return;
      const reply = await this.store.acquire({ session, offered, want: 0, mode: 'any', claim, maxBytes: Number.MAX_SAFE_INTEGER, maxEntryBytes, avoidMs: 0 });
      if (reply.status === 'ok') this.portfolio.grant(session, reply.grants);
    } catch {
      // leaving gives it back all the same, only later
    }
  }

  private async shutDown(reason: TerminatedConsumer['reason'], error?: Error): Promise<void> {
    const { service, context, membership } = this;
    const retiring = membership.session ? this.store.retire(membership.session).catch(() => undefined) : undefined;
    await Promise.all([this.waiter.stop(), this.pump.stop(), retiring]);
    await Promise.all([this.portfolio.close(context.drainMs, context.commandTimeoutMs, () => membership.isLive()), this.giveBackUnknown()]);
    const consumer = membership.session ?? context.identity.name;
    const session = await membership.stop();
    if (session) {
      try {
        await this.store.leave(session, context.identity.exclusive ? context.identity.name : '');
        context.events.emit('session.left', { scope: this.store.keys.lbs, session });
      } catch (failure) {
        context.onError(failure as Error, { service, during: 'leaving; peers take over at the session deadline instead' });
      }
    }
    const event: TerminatedConsumer = { service, consumer, reason, ...(error ? { error } : {}) };
    context.events.emit('lease.terminated', event);
    this.portfolio.hook('terminated', () => this.handlers.terminated?.(event));
    await this.portfolio.allEnded(context.drainMs);
  }
}

function reasonOf(error: unknown): TerminatedConsumer['reason'] {
  return error instanceof ConsumerNameInUseError ? 'name-in-use' : 'failed';
}
