import { FencedError, type PartitionLossReason } from '../errors/index.js';
import { isTransient } from '../kernel/server-errors.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ErrorContext } from '../options.js';
import { withDeadline } from '../redis/deadline.js';
import { Gathering } from '../redis/gathering.js';
import { sleep } from '../redis/sleep.js';
import { Committer } from './committer.js';
import type { Grant } from './coordinator.js';
import type { DeliveryFactory } from './dispatch.js';
import type { ResolvedPartitionOptions } from './options.js';
import { OwnedPartition } from './owned-partition.js';
import type { PartitionOwnerHost } from './owner-host.js';
import type { PartitionStore } from './partition-store.js';
import type { PartitionReader } from './lanes.js';
import type { PartitionsEvent, PartitionsLost, PartitionsRevoked } from './types.js';

export interface HoldingsHost {
  readonly events: RedisStreamsEvents;
  readonly drainMs: number;
  session(): string | undefined;
  /** See PartitionOwnerHost. */
  alone(): Promise<() => void>;
  release(partition: number, token: number, above?: number): void;
  /** Bounded by `drainMs`; never rejects. */
  hook(hook: 'assigned', event: PartitionsEvent): Promise<void>;
  hook(hook: 'revoked', event: PartitionsRevoked): Promise<void>;
  hook(hook: 'lost', event: PartitionsLost): Promise<void>;
  onError(error: Error, about: ErrorContext): void;
}

interface Holding {
  readonly partition: number;
  readonly token: number;
  /** Undefined while it is being opened. */
  owned?: OwnedPartition;
  leaving: boolean;
  /** The application has been told that it is ours: only then it is told of the end. */
  told?: boolean;
}

const RETRY_MS = 100;

/** The partitions in this process's hands, from grant to release or loss. */
export class Holdings {
  private readonly holdings = new Map<number, Holding>();
  /** Lost partitions whose handlers still run here: the same key must not run twice in one process. */
  private readonly leftovers = new Set<OwnedPartition>();
  private readonly committers = new Map<number, Committer>();
  private paused: 'all' | ReadonlySet<number> = new Set();
  private closed = false;

  constructor(
    private readonly options: ResolvedPartitionOptions,
    private readonly deliveries: DeliveryFactory,
    private readonly store: PartitionStore,
    private readonly reader: PartitionReader,
    private readonly host: HoldingsHost,
  ) {}

  held(): Array<readonly [number, number]> {
    return [...this.holdings.values()].map(({ partition, token }) => [partition, token] as const);
  }

  holds(partition: number, token: number): boolean {
    return this.holdings.get(partition)?.token === token;
  }

  active(): OwnedPartition[] {
    return [...this.holdings.values()].flatMap(({ owned }) => (owned?.phase === 'active' ? [owned] : []));
  }

  /** Opens what was granted, tells the application, begins. None waits for one that takes longer. */
  async take(session: string, grants: readonly Grant[]): Promise<void> {
    if (this.closed) return this.decline(grants);
    const opened = new Gathering<Holding>((batch) => this.begin(batch), grants.length);
    await Promise.all(grants.map(async (grant) => opened.add(await this.open(session, grant))));
  }

  /** Drains, commits, tells the application and releases. None waits for one that takes longer. */
  async giveBack(partitions: readonly number[], reason: 'rebalance' | 'shutdown'): Promise<void> {
    const leaving = partitions.flatMap((partition) => this.holdings.get(partition) ?? []).filter((holding) => !holding.leaving);
    const startedAt = performance.now();
    const drained = new Gathering<Holding>((batch) => this.handOver(batch, reason, startedAt), leaving.length);
    for (const holding of leaving) holding.leaving = true;
    await Promise.all(leaving.map(async (holding) => drained.add((await this.drain(holding, reason)) ? holding : undefined)));
  }

  /** Opened, they would be read and waited for with nobody left to end it. */
  private decline(grants: readonly Grant[]): void {
    for (const { partition, token } of grants) if (!this.holds(partition, token)) this.host.release(partition, token);
  }

  private async begin(opened: readonly Holding[]): Promise<void> {
    const ours = (): Array<Holding & { owned: OwnedPartition }> =>
      opened.filter((holding): holding is Holding & { owned: OwnedPartition } => holding.owned !== undefined && this.holdings.get(holding.partition) === holding && !holding.leaving);
    const told = ours();
    if (told.length === 0) return;
    for (const holding of told) holding.told = true;
    await this.host.hook('assigned', this.event(told.map(({ owned }) => owned)));
    for (const { partition, owned } of ours()) {
      owned.setPaused(this.isPaused(partition));
      owned.activate();
      this.reader.add(owned, this.store.shardOf(partition));
    }
  }

  private async handOver(drained: readonly Holding[], reason: 'rebalance' | 'shutdown', startedAt: number): Promise<void> {
    const owned = drained.flatMap((holding) => (holding.told && holding.owned ? [holding.owned] : []));
    if (owned.length > 0) await this.host.hook('revoked', { ...this.event(owned), reason });
    for (const holding of drained) {
      if (this.holdings.get(holding.partition) !== holding) continue; // lost meanwhile
      const { partition, token } = holding;
      this.forget(holding, reason);
      this.host.events.emit('partition.revoked', { ...this.about(holding), reason, drainMs: performance.now() - startedAt });
      this.host.release(partition, token);
    }
  }

  /** All there is, and from here on whatever an answer still brings that was on its way. */
  async giveBackAll(reason: 'shutdown'): Promise<void> {
    this.closed = true;
    const done = new AbortController();
    const until = performance.now() + this.host.drainMs * 2;
    await Promise.race([this.giveBack([...this.holdings.keys()], reason), sleep(this.host.drainMs * 2, done.signal)]);
    done.abort();
    // What a rebalance is taking away already.
    while (this.holdings.size > 0 && performance.now() < until) await sleep(5);
    this.loseAll(reason);
  }

  loseAll(reason: PartitionLossReason): void {
    this.lose([...this.holdings.keys()], reason);
  }

  /** Already somebody else's. */
  lose(partitions: readonly number[], reason: PartitionLossReason): void {
    const lost: OwnedPartition[] = [];
    for (const partition of partitions) {
      const holding = this.holdings.get(partition);
      if (!holding) continue;
      this.forget(holding, reason);
      this.host.events.emit('partition.lost', { ...this.about(holding), reason });
      if (holding.told && holding.owned) lost.push(holding.owned);
    }
    if (lost.length > 0) void this.host.hook('lost', { ...this.event(lost), reason });
  }

  pause(partitions: 'all' | ReadonlySet<number>): void {
    if (same(this.paused, partitions)) return;
    this.paused = partitions;
    for (const { partition, owned } of this.holdings.values()) owned?.setPaused(this.isPaused(partition));
    this.host.events.emit('partition.paused', { stream: this.options.stream, group: this.options.group, partitions: partitions === 'all' ? 'all' : [...partitions] });
  }

  /** Commits once more where that trims what is committed, or says that somebody is still at work. */
  tidy(): void {
    for (const owned of this.active()) if (owned.needsCommit) this.committer(owned.partition).mark(owned);
  }

  private async open(session: string, { partition, token, from }: Grant): Promise<Holding | undefined> {
    const earlier = this.holdings.get(partition);
    if (earlier?.token === token) return undefined; // told twice
    if (earlier) this.lose([partition], 'fenced');
    const holding: Holding = { partition, token, leaving: false };
    this.holdings.set(partition, holding);
    // Handlers of the time before may still run in this process. They were told to end; wait for them as for a drain.
    const leftovers = [...this.leftovers].filter((owned) => owned.partition === partition);
    await Promise.all(leftovers.map((owned) => owned.settled(this.host.drainMs)));
    while (this.holdings.get(partition) === holding && !holding.leaving && this.host.session() === session) {
      try {
        const reply = await this.store.open(partition, token, from === 'dead', this.options.startFrom);
        if (this.holdings.get(partition) !== holding) return undefined;
        if ('fencedBy' in reply) {
          this.forget(holding, 'fenced');
          this.host.release(partition, token, reply.fencedBy);
          return undefined;
        }
        holding.owned = new OwnedPartition(partition, token, this.store.keyOf(partition), reply, this.options, this.deliveries, this.ownerHost(session));
        this.host.events.emit('partition.assigned', { ...this.about(holding), from });
        if (holding.owned.isSuspicious) this.host.events.emit('partition.suspected', { ...this.about(holding), losses: reply.losses });
        return holding;
      } catch (error) {
        if (!isTransient(error)) this.host.onError(error as Error, { partition, token, during: 'opening a partition' });
        await sleep(isTransient(error) ? RETRY_MS : RETRY_MS * 10);
      }
    }
    return undefined;
  }

  /** @returns false when it was lost meanwhile */
  private async drain(holding: Holding, reason: 'rebalance' | 'shutdown'): Promise<boolean> {
    const { owned } = holding;
    if (!owned) return this.holdings.get(holding.partition) === holding;
    this.reader.remove(owned);
    await owned.drain(reason, this.host.drainMs);
    try {
      if (!owned.isStored) await withDeadline(this.committer(holding.partition).flush(owned), this.host.drainMs, () => new Error(`the last commit of partition ${holding.partition} was not answered within ${this.host.drainMs} ms (shutdown.drainMs)`));
    } catch (error) {
      // Fenced: `committer` has reported it.
      if (!(error instanceof FencedError)) this.host.onError(error as Error, { partition: holding.partition, token: holding.token, during: 'handing a partition over' });
    }
    // A process that slept past its deadline may be here before its watchdog, with a commit that was given up: that is a loss
    // about to be told, and nothing to tell the application as handed over.
    return this.holdings.get(holding.partition) === holding && this.host.session() !== undefined;
  }

  private forget(holding: Holding, reason: PartitionLossReason): void {
    const { partition, owned } = holding;
    if (this.holdings.get(partition) === holding) this.holdings.delete(partition);
    if (!owned) return;
    this.reader.remove(owned);
    owned.end(reason);
    this.leftovers.add(owned);
    owned.whenQuiet(() => this.leftovers.delete(owned));
  }

  private ownerHost(session: string): PartitionOwnerHost {
    const { events } = this.host;
    const tell = ({ partition, token }: OwnedPartition, attempt: number, error: Error): void => this.host.onError(error, { partition, token, attempt, during: 'handling a message' });
    return {
      session,
      keepMs: this.store.stream.keepMs,
      isLive: () => this.host.session() === session,
      dirty: (owned) => this.committer(owned.partition).mark(owned),
      flush: (owned) => this.committer(owned.partition).flush(owned),
      roomMade: (owned) => this.reader.roomMade(owned),
      alone: () => this.host.alone(),
      retried: (owned, { id, key, failures }, delayMs, error) => {
        events.emit('partition.retried', { ...this.about(owned), id, key, attempt: failures, delayMs, error });
        tell(owned, failures, error);
      },
      deadLettered: (owned, { id, key, failures }, reason, error) => {
        events.emit('partition.deadLettered', { ...this.about(owned), id, key, reason, attempt: failures, ...(error ? { error } : {}) });
        if (error) tell(owned, failures, error);
      },
      failedLate: ({ partition, token }, id, error) => this.host.onError(error, { partition, token, during: `the handler of message ${id}, after it had acknowledged it` }),
    };
  }

  private committer(partition: number): Committer {
    const shard = this.store.shardOf(partition);
    let committer = this.committers.get(shard);
    if (!committer) {
      committer = new Committer(this.store, shard, {
        isLive: () => this.host.session() !== undefined,
        committed: (owned, { progress }) => this.host.events.emit('partition.committed', { ...this.about(owned), watermark: progress.watermark, messages: progress.passed }),
        fenced: (owned) => this.fenced(owned),
        trouble: (owned, error) => this.host.onError(error, { partition: owned.partition, token: owned.token, during: 'committing' }),
      });
      this.committers.set(shard, committer);
    }
    return committer;
  }

  /** Its commit was refused: the position was moved by hand, or the group has another owner. The next look tells which. */
  private fenced(owned: OwnedPartition): void {
    const holding = this.holdings.get(owned.partition);
    if (holding?.owned !== owned) return;
    this.lose([owned.partition], 'fenced');
    this.host.release(owned.partition, owned.token);
  }

  private isPaused(partition: number): boolean {
    return this.paused === 'all' || this.paused.has(partition);
  }

  private about({ partition, token }: { readonly partition: number; readonly token: number }): { stream: string; group: string; partition: number; token: number } {
    return { stream: this.options.stream, group: this.options.group, partition, token };
  }

  private event(owned: readonly OwnedPartition[]): PartitionsEvent {
    const { stream, group } = this.options;
    return { stream, group, partitions: owned.map(({ partition, token }) => ({ partition, fencingToken: token })) };
  }
}

function same(a: 'all' | ReadonlySet<number>, b: 'all' | ReadonlySet<number>): boolean {
  if (a === 'all' || b === 'all') return a === b;
  return a.size === b.size && [...a].every((partition) => b.has(partition));
}
