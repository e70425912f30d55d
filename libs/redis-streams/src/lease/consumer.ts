import { AlreadyClaimedError, ConsumerNameInUseError, type AbortReason } from '../errors/index.js';
import { decodeAnnouncement } from '../kernel/announcement.js';
import { handOverCount } from '../kernel/fair-share.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ErrorContext } from '../options.js';
import type { RedisConnection } from '../redis/connection.js';
import type { ConsumerIdentity } from '../session/identity.js';
import { Membership } from '../session/membership.js';
import type { ResolvedSession } from '../session/options.js';
import { drain } from './drain.js';
import { leaseEntries } from './entries.js';
import { ExpiredWatch } from './expired-watch.js';
import { HeldLease, type LeaseHost } from './held-lease.js';
import type { ResolvedLeaseOptions } from './options.js';
import { Pump } from './pump.js';
import { findUnknown } from './reconcile.js';
import { runHandler } from './runner.js';
import { Settler } from './settler.js';
import { LeaseStore, type Grant, type SettleOperation, type Survey } from './store.js';
import type { StreamTailer } from './tailer.js';
import type { EntriesOptions, LeaseHandlers, StreamLease, TerminatedConsumer } from './types.js';
import { Waiter } from './waiter.js';

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

/** Owns streams of one service for this process: the meeting point of session, pump, waiter, settler and handlers. */
export class LeaseConsumer {
  private readonly store: LeaseStore;
  private readonly membership: Membership;
  private readonly pump: Pump;
  private readonly waiter: Waiter;
  private readonly expired: ExpiredWatch;
  private readonly leases = new Map<string, HeldLease>();
  private readonly running = new Set<Promise<void>>();
  private settler: Settler | undefined;
  private host: LeaseHost | undefined;
  private settling = 0;
  /** Looks in a row at which the server counted more for us than we know. */
  private surplusSeen = 0;
  private stopping: Promise<void> | undefined;
  private terminated = false;

  constructor(
    private readonly options: ResolvedLeaseOptions,
    private readonly handlers: LeaseHandlers,
    private readonly context: LeaseConsumerContext,
  ) {
    const { redis, events } = context;
    const { service } = options;
    this.store = new LeaseStore(redis, service);
    const { keys } = this.store;
    this.membership = new Membership(
      redis,
      { scope: keys.lbs, keys, identity: context.identity, session: context.session, meta: String(options.maxLeases), commandTimeoutMs: context.commandTimeoutMs },
      events,
      {
        joined: (session) => this.joined(session),
        lost: () => this.lost(),
        look: () => this.look(),
        failed: (error) => void this.fail(error),
        trouble: (error) => context.onError(error, { service, during: 'joining again' }),
      },
    );
    const reader = {
      session: () => (this.stopping ? undefined : this.membership.session),
      trouble: (error: Error, retryInMs: number, failures: number) => this.trouble(error, retryInMs, failures),
      recovered: (failures: number, downMs: number) => events.emit('reader.recovered', { service, failures, downMs }),
    };
    this.pump = new Pump(
      this.store,
      { claim: options.claim, maxEntryBytes: options.maxAnnouncementBytes, graceMs: Math.max(50, context.session.heartbeatMs / 2), avoidMs: context.session.heartbeatMs },
      {
        ...reader,
        room: () => options.maxLeases - this.leases.size,
        granted: (session, grants) => this.granted(session, grants),
        rejected: (rejects) => rejects.forEach(({ id, reason }) => events.emit('lease.deadLettered', { service, entryId: id, reason })),
        surveyed: (survey) => this.surveyed(survey),
        refused: (session) => this.membership.refused(session),
      },
    );
    this.waiter = new Waiter(this.store, () => redis.blockingFor(keys.lbs), { ...reader, idle: () => this.pump.idle(), offered: (ids) => this.pump.offer(ids) });
    this.expired = new ExpiredWatch(this.store, service, (event) => this.hook('expired', () => handlers.expired?.(event)), events, (stream) => this.claim(stream));
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
    return [...this.leases.values()];
  }

  /** Joins and begins to take streams. @throws ConsumerNameInUseError | ConnectionError */
  async start(): Promise<void> {
    await this.membership.start();
    this.waiter.start();
  }

  /** Takes over one stream of a dead owner. @throws AlreadyClaimedError */
  async claim(stream: string): Promise<void> {
    const { session } = this.membership;
    if (!session || this.stopping) throw new AlreadyClaimedError(stream, undefined);
    const reply = await this.store.claim(session, stream);
    if (reply.status === 'claimed') return this.granted(session, [reply.grant]);
    if (reply.status === 'lost') this.membership.refused(session);
    throw new AlreadyClaimedError(stream, reply.status === 'taken' ? reply.owner : undefined);
  }

  /** Hands everything to peers and leaves. Idempotent; bounded by `drainMs` and command timeouts. Never rejects. */
  stop(): Promise<void> {
    return (this.stopping ??= this.shutDown('closed'));
  }

  private joined(session: string): void {
    const settler = new Settler(this.store, session, () => this.membership.session === session, () => this.membership.refused(session));
    this.settler = settler;
    this.surplusSeen = 0;
    this.host = {
      service: this.service,
      session,
      settle: async (lease, operation, a, b) => {
        this.settling++;
        try {
          return await settler.settle({ operation, stream: lease.stream, token: lease.token, a, b });
        } finally {
          this.settling--;
        }
      },
      entries: (lease, options: EntriesOptions) => leaseEntries(lease, this.context.tailer, options),
      ended: (lease, operation, detail) => this.ended(lease, operation, detail),
      fenced: (lease, operation) => {
        this.context.events.emit('lease.fenced', { ...about(lease), operation });
        this.drop(lease, 'fenced');
      },
    };
    this.pump.reset();
  }

  /** The session is over: whatever is held belongs to others from now on, reaped or not. */
  private lost(): void {
    this.waiter.interrupt();
    for (const lease of [...this.leases.values()]) this.drop(lease, 'session-lost');
  }

  private drop(lease: HeldLease, reason: AbortReason): void {
    if (this.leases.get(lease.stream) === lease) this.leases.delete(lease.stream);
    lease.abort(reason);
    this.context.events.emit('lease.lost', { ...about(lease), reason });
    const { service, stream, entryId, token, owner } = lease;
    this.hook('disowned', () => this.handlers.disowned?.({ service, stream, entryId, token, owner, reason }));
  }

  private look(): void {
    if (this.stopping) return;
    this.pump.look();
    if (this.options.claim === 'manual') void this.expired.look().catch((error: Error) => this.trouble(error, 0, 1));
  }

  private granted(session: string, grants: readonly Grant[]): void {
    for (const grant of grants) {
      const { host } = this;
      if (!host || host.session !== session) return;
      const decoded = decodeAnnouncement(grant.payload, this.options.maxDepth);
      const name = grant.stream.toString('utf8');
      const known = this.leases.get(name);
      if (known?.token === grant.token) continue; // read again after the group was lost
      if (known) this.drop(known, 'fenced');
      if (!decoded.ok || decoded.stream !== name) {
        this.reject(grant, decoded.ok ? 'invalid-json' : decoded.reason);
        continue;
      }
      const lease = new HeldLease(host, grant, name, decoded.info);
      this.leases.set(name, lease);
      this.context.events.emit('lease.assigned', { ...about(lease), attempt: lease.attempt, source: grant.source });
      if (lease.recovered) this.context.events.emit('lease.takenOver', { ...about(lease), previousOwner: lease.previousOwner ?? 'unknown' });
      this.dispatch(lease);
    }
  }

  private dispatch(lease: HeldLease): void {
    if (this.stopping) {
      lease.abort('shutdown');
      this.track(lease.release().catch(() => undefined));
      return;
    }
    const { service, stream } = lease;
    this.track(
      runHandler(lease, this.handlers, this.options, this.context.events, (error, { attempt, token }) =>
        this.context.onError(error, { service, stream, attempt, token, during: 'the assigned handler' }),
      ),
    );
  }

  private track(work: Promise<void>): void {
    this.running.add(work);
    void work.finally(() => this.running.delete(work));
  }

  private reject(grant: Grant, reason: string): void {
    const { service, settler } = this;
    void settler
      ?.settle({ operation: 'dead', stream: grant.stream, token: grant.token, a: reason, b: '' })
      .then(() => this.context.events.emit('lease.deadLettered', { service, entryId: grant.entryId, reason }))
      .catch((error: Error) => this.context.onError(error, { service, during: 'moving a malformed announcement to the dead-letter stream' }));
  }

  private ended(lease: HeldLease, operation: SettleOperation, detail: string): void {
    if (this.leases.get(lease.stream) === lease) this.leases.delete(lease.stream);
    const { events } = this.context;
    if (operation === 'done') events.emit('lease.completed', { ...about(lease), attempt: lease.attempt, durationMs: performance.now() - lease.startedAt });
    else if (operation === 'release') {
      const reason = lease.abortReason === 'shutdown' || lease.abortReason === 'rebalance' ? lease.abortReason : 'handler';
      events.emit('lease.released', { ...about(lease), reason });
    } else if (operation === 'dead') events.emit('lease.deadLettered', { service: this.service, stream: lease.stream, entryId: lease.entryId, reason: detail });
    this.pump.roomMade();
  }

  private surveyed(survey: Survey): void {
    this.membership.expectPeer(survey.nextPeerMs);
    this.handOver(survey);
    // Pending for us, unknown to us: an answer was lost on the way. Two looks apart rule out what is merely in flight.
    const surplus = survey.mine > this.leases.size && this.settling === 0;
    this.surplusSeen = surplus ? this.surplusSeen + 1 : 0;
    if (this.surplusSeen >= 2) void this.reconcile();
  }

  private handOver(survey: Survey): void {
    if (!this.options.handOver || survey.members < 2) return;
    const leases = [...this.leases.values()];
    const asked = leases.filter((lease) => lease.abortReason === 'rebalance').length;
    const count = handOverCount(leases.length, asked, survey.share);
    if (count === 0) return;
    this.context.events.emit('lease.handOver', { service: this.service, asked: count, held: leases.length, share: survey.share });
    // The youngest first: least has been done on them.
    for (const lease of leases.reverse().filter((l) => !l.abortReason).slice(0, count)) this.askBack(lease, 'rebalance');
  }

  /** A running handler ends by itself on the signal; a lease that is merely held is given back for it. */
  private askBack(lease: HeldLease, reason: 'rebalance' | 'shutdown'): void {
    lease.abort(reason);
    if (!lease.running) this.track(lease.release().catch(() => undefined));
  }

  private async reconcile(): Promise<void> {
    this.surplusSeen = 0;
    const { session } = this.membership;
    if (!session) return;
    const known = new Set([...this.leases.values()].map((lease) => lease.entryId));
    try {
      this.pump.offer(await findUnknown(this.store, session, known));
    } catch (error) {
      this.trouble(error as Error, 0, 1);
    }
  }

  private trouble(error: Error, retryInMs: number, failures: number): void {
    // What was asked for may have been granted all the same: compare notes as soon as the server answers again.
    this.surplusSeen = 1;
    this.context.events.emit('reader.error', { service: this.service, error, retryInMs, failures });
    this.pump.look();
  }

  private async fail(error: Error): Promise<void> {
    this.context.onError(error, { service: this.service, during: 'joining again' });
    await (this.stopping ??= this.shutDown(error instanceof ConsumerNameInUseError ? 'name-in-use' : 'failed', error));
  }

  private async shutDown(reason: TerminatedConsumer['reason'], error?: Error): Promise<void> {
    const { service, context, membership } = this;
    await Promise.all([this.waiter.stop(), this.pump.stop()]);
    for (const lease of [...this.leases.values()]) this.askBack(lease, 'shutdown');
    await drain(this.running, context.drainMs);
    // Handlers that did not end in time keep running without their lease: their settles will be refused.
    await Promise.allSettled([...this.leases.values()].map((lease) => (membership.isLive() ? lease.release() : undefined)));
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
    if (this.terminated) return;
    this.terminated = true;
    const event: TerminatedConsumer = { service, consumer, reason, ...(error ? { error } : {}) };
    context.events.emit('lease.terminated', event);
    this.hook('terminated', () => this.handlers.terminated?.(event));
    await drain(this.running, context.drainMs);
  }

  /** Hooks inform; what they throw is reported and changes nothing. */
  private hook(name: string, call: () => unknown): void {
    this.track(
      (async () => {
        try {
          await call();
        } catch (thrown) {
          const error = thrown instanceof Error ? thrown : new Error(String(thrown));
          this.context.events.emit('hook.error', { service: this.service, hook: name, error });
          this.context.onError(error, { service: this.service, during: `the ${name} hook` });
        }
      })(),
    );
  }
}

function about(lease: HeldLease): { service: string; stream: string; token: number; owner: string } {
  return { service: lease.service, stream: lease.stream, token: lease.token, owner: lease.owner };
}
