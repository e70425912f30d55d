import { toError, type AbortReason } from '../errors/index.js';
import { decodeAnnouncement } from '../kernel/announcement.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ErrorContext } from '../options.js';
import { withDeadline } from '../redis/deadline.js';
import { Running } from './drain.js';
import { leaseEntries } from './entries.js';
import { HeldLease, type LeaseHost } from './held-lease.js';
import { insist } from './insist.js';
import type { ResolvedLeaseOptions } from './options.js';
import { runHandler, type RunnerHost } from './runner.js';
import type { Settler } from './settler.js';
import type { Grant, SettleOperation } from './store.js';
import type { StreamTailer } from './tailer.js';
import type { LeaseHandlers, StreamInfo } from './types.js';

const SETTLING = 'settling, which is tried again until the lease is over';

export interface PortfolioContext {
  readonly events: RedisStreamsEvents;
  readonly tailer: StreamTailer;
  onError(error: Error, context: ErrorContext): void;
  /** A lease has ended: there is room for another. */
  roomMade(): void;
}

/** The leases this process holds, and the handlers that run on them. */
export class Portfolio {
  private readonly leases = new Map<string, HeldLease>();
  /** Ours by the server's record, whose token is being raised. */
  private readonly raising = new Map<string, Grant>();
  private readonly running = new Running();
  private readonly hooks = new Running();
  private readonly runner: RunnerHost;
  private settler: Settler | undefined;
  private host: LeaseHost | undefined;
  private closing = false;

  constructor(
    private readonly options: ResolvedLeaseOptions,
    private readonly handlers: LeaseHandlers,
    private readonly context: PortfolioContext,
  ) {
    this.runner = {
      handlers,
      options,
      events: context.events,
      onError: (error, { service, stream, attempt, token }) => context.onError(error, { service, stream, attempt, token, during: 'the assigned handler' }),
      refused: (error, { service, stream, attempt, token }) => context.onError(error, { service, stream, attempt, token, during: SETTLING }),
      ended: this.running.end,
    };
  }

  get size(): number {
    return this.leases.size + this.raising.size;
  }

  holds(grant: Grant): boolean {
    return this.leases.get(grant.stream.toString('utf8'))?.token === grant.token;
  }

  /** Announcements it knows to be its own. */
  ids(): ReadonlySet<string> {
    return new Set([...this.leases.values(), ...this.raising.values()].map(({ entryId }) => entryId));
  }

  all(): HeldLease[] {
    return [...this.leases.values()];
  }

  /** What is granted from now on belongs to this session. */
  open(settler: Settler): void {
    this.raising.clear();
    this.settler = settler;
    this.host = {
      service: this.options.service,
      session: settler.session,
      settle: (lease, operation, a, b) => settler.settle({ operation, stream: lease.stream, token: lease.token, a, b }),
      entries: (lease, options) => leaseEntries(lease, this.context.tailer, options),
      ended: (lease, operation, detail) => this.ended(lease, operation, detail),
      checkpointed: (lease) => this.context.events.emit('lease.checkpointed', { ...about(lease), id: lease.lastCheckpoint ?? '' }),
      fenced: (lease, operation) => {
        this.context.events.emit('lease.fenced', { ...about(lease), operation });
        this.drop(lease, 'fenced');
      },
    };
  }

  /** Takes on what the server granted to `session`. */
  grant(session: string, grants: readonly Grant[]): void {
    for (const grant of grants) {
      const { host } = this;
      if (!host || host.session !== session) return;
      const name = grant.stream.toString('utf8');
      // Before anything else: a name that is not UTF-8 reads like another stream's.
      const decoded = decodeAnnouncement(grant.payload, this.options.maxDepth);
      if (!decoded.ok || decoded.stream !== name) {
        this.reject(grant, decoded.ok ? 'invalid-json' : decoded.reason);
        continue;
      }
      if (this.options.maxTakeovers > 0 && grant.takeovers > this.options.maxTakeovers) {
        this.reject(grant, 'max-takeovers');
        continue;
      }
      if (grant.source === 'held' && !this.closing) this.raise(grant, name, decoded.info);
      else this.take(host, grant, name, decoded.info);
    }
  }

  private take(host: LeaseHost, grant: Grant, name: string, info: StreamInfo): void {
    const known = this.leases.get(name);
    if (known?.token === grant.token) return; // read again after the group was lost
    // An end under way may be accepted already: its answer and this grant, of the stream's follow-up, can come in
    // one packet, and the grant be looked at first. Whoever ends hears from the server; nobody took it from us.
    if (known && !known.isEnding) this.drop(known, 'fenced');
    const lease = new HeldLease(host, grant, name, info);
    this.leases.set(name, lease);
    this.context.events.emit('lease.assigned', { ...about(lease), attempt: lease.attempt, source: grant.source });
    if (lease.recovered) this.context.events.emit('lease.takenOver', { ...about(lease), previousOwner: lease.previousOwner ?? 'unknown' });
    this.dispatch(lease);
  }

  /**
   * Ours by the server's record, and nothing of ours runs under that token: an answer was lost, or the server has lost
   * its last writes, and with them later grants of this stream, under which handlers have written elsewhere. So it is
   * run under a token above all those. It is raised in a settle, which is applied once and only to the token it names: a
   * packet that comes late, or twice, takes no stream from a handler that runs.
   */
  private raise(grant: Grant, name: string, info: StreamInfo): void {
    const { host, settler, raising } = this;
    const known = this.leases.get(name);
    if (!host || !settler || raising.has(name) || (known && known.token >= grant.token)) return;
    raising.set(name, grant);
    this.running.track(
      (async () => {
        try {
          const status = await settler.settle({ operation: 'raise', stream: grant.stream, token: grant.token, a: '', b: '' });
          if (raising.get(name) === grant) raising.delete(name);
          if (status !== 'FENCED' && this.host === host && settler.isLive()) this.take(host, { ...grant, token: Number(status) }, name, info);
          else this.context.roomMade();
        } catch (error) {
          if (raising.get(name) === grant) raising.delete(name); // found again, as it was before
          this.context.roomMade();
          const { service } = this.options;
          this.context.onError(error as Error, { service, stream: name, during: 'taking on a stream whose grant was lost' });
        }
      })(),
    );
  }

  /** The session is over: everything held belongs to others from now on, reaped or not. */
  lose(): void {
    this.host = undefined;
    this.raising.clear();
    for (const lease of this.all()) this.drop(lease, 'session-lost');
  }

  /** A running handler ends by itself on the signal; a lease that is merely held is given back for it. */
  askBack(lease: HeldLease, reason: 'rebalance' | 'shutdown'): void {
    lease.abort(reason);
    if (!lease.running) this.running.track(insist(lease, () => lease.release(), (error) => this.runner.refused(error, lease)));
  }

  /** Hands everything back. Handlers that do not end within `drainMs` keep running without their lease: their settles are refused. */
  async close(drainMs: number, settleMs: number, isLive: () => boolean): Promise<void> {
    this.closing = true;
    for (const lease of this.all()) this.askBack(lease, 'shutdown');
    await this.running.drained(drainMs);
    const released = Promise.allSettled(this.all().map((lease) => (isLive() ? lease.release() : undefined)));
    // A settle is tried for as long as the session lives, and a stop must not wait that long for a server that is away.
    await withDeadline(released, settleMs, () => new Error('unanswered')).catch(() => undefined);
  }

  /** Waits for hooks, and for handlers still running without their lease: what they use is closed after the stop. */
  async allEnded(ms: number): Promise<void> {
    await Promise.all([this.hooks.drained(ms), this.running.drained(ms)]);
  }

  /** Hooks inform; what they throw is reported and changes nothing. */
  hook(name: string, call: () => unknown): void {
    this.hooks.track(
      (async () => {
        try {
          await call();
        } catch (thrown) {
          const error = toError(thrown);
          const { service } = this.options;
          this.context.events.emit('hook.error', { service, hook: name, error });
          this.context.onError(error, { service, during: `the ${name} hook` });
        }
      })(),
    );
  }

  private drop(lease: HeldLease, reason: AbortReason): void {
    if (this.leases.get(lease.stream) === lease) this.leases.delete(lease.stream);
    lease.abort(reason);
    this.context.events.emit('lease.lost', { ...about(lease), reason });
    const { service, stream, entryId, token, owner } = lease;
    this.hook('disowned', () => this.handlers.disowned?.({ service, stream, entryId, token, owner, reason }));
  }

  private dispatch(lease: HeldLease): void {
    if (this.closing) return this.askBack(lease, 'shutdown');
    this.running.begin();
    runHandler(lease, this.runner);
  }

  private reject(grant: Grant, reason: string): void {
    const { service } = this.options;
    this.running.track(
      (async () => {
        try {
          const status = await this.settler?.settle({ operation: 'dead', stream: grant.stream, token: grant.token, a: reason, b: '' });
          if (status === 'OK') this.context.events.emit('lease.deadLettered', { service, entryId: grant.entryId, reason });
        } catch (error) {
          this.context.onError(error as Error, { service, during: 'moving a malformed announcement to the dead-letter stream' });
        }
      })(),
    );
  }

  private ended(lease: HeldLease, operation: SettleOperation, detail: string): void {
    if (this.leases.get(lease.stream) === lease) this.leases.delete(lease.stream);
    const { events } = this.context;
    switch (operation) {
      case 'done':
        events.emit('lease.completed', { ...about(lease), attempt: lease.attempt, durationMs: performance.now() - lease.startedAt });
        break;
      case 'release': {
        const reason = lease.abortReason === 'shutdown' || lease.abortReason === 'rebalance' ? lease.abortReason : 'handler';
        events.emit('lease.released', { ...about(lease), reason });
        break;
      }
      case 'dead':
        events.emit('lease.deadLettered', { ...about(lease), entryId: lease.entryId, reason: detail, attempt: lease.attempt });
        break;
      case 'retry': // told when it was decided, with its delay
      case 'checkpoint':
        break;
    }
    this.context.roomMade();
  }
}

function about(lease: HeldLease): { service: string; stream: string; token: number; owner: string } {
  return { service: lease.service, stream: lease.stream, token: lease.token, owner: lease.owner };
}
