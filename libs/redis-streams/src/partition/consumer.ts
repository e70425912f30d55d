import { toError } from '../errors/index.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ErrorContext } from '../options.js';
import type { RedisConnection } from '../redis/connection.js';
import type { ConsumerIdentity } from '../session/identity.js';
import { patiently } from '../redis/patiently.js';
import { sleep } from '../redis/sleep.js';
import { Membership } from '../session/membership.js';
import type { ResolvedSession } from '../session/options.js';
import { assign } from '../kernel/assignor.js';
import { Coordinator, type Grant } from './coordinator.js';
import { batches, singles, type DeliveryFactory } from './dispatch.js';
import { GroupStore } from './group-store.js';
import { Holdings } from './holdings.js';
import type { ResolvedPartitionOptions } from './options.js';
import { PartitionStore } from './partition-store.js';
import { PartitionReader } from './lanes.js';
import type { KnownStream } from './registration.js';
import type { OwnedPartitionRef, PartitionHandlers, PartitionsEvent } from './types.js';

export interface PartitionConsumerContext {
  readonly redis: RedisConnection;
  readonly events: RedisStreamsEvents;
  readonly identity: ConsumerIdentity;
  readonly session: ResolvedSession;
  readonly commandTimeoutMs: number;
  readonly drainMs: number;
  find(stream: string, who: string, signal: AbortSignal): Promise<KnownStream>;
  /** Runs one suspect at a time in this process; resolves with the function that ends its turn. */
  alone(): Promise<() => void>;
  /** A session was lost and another begun: what this process registered may be gone too. */
  rejoined(): void;
  onError(error: Error, context: ErrorContext): void;
}

/** A server that is away is waited for elsewhere. */
const WARM_UP_MS = 1_000;

interface Parts {
  readonly group: GroupStore;
  readonly membership: Membership;
  readonly coordinator: Coordinator;
  readonly holdings: Holdings;
  readonly reader: PartitionReader;
}

/** One process's part in one consumer group of one stream: where session, coordination, reading and handling meet. */
export class PartitionConsumer {
  private parts: Parts | undefined;
  private stopping: Promise<void> | undefined;
  private readonly stopped = new AbortController();
  private ended = false;
  private joinedBefore = false;
  private hooks: Promise<void> = Promise.resolve();

  constructor(
    private readonly options: ResolvedPartitionOptions,
    private readonly handlers: PartitionHandlers,
    private readonly context: PartitionConsumerContext,
  ) {}

  /** Full name of the stream. */
  get stream(): string {
    return this.options.stream;
  }

  get group(): string {
    return this.options.group;
  }

  /** This consumer's live session id, or undefined. */
  get session(): string | undefined {
    return this.parts?.membership.session;
  }

  /** Partitions this process handles at present. */
  owned(): OwnedPartitionRef[] {
    return (this.parts?.holdings.active() ?? []).map(({ partition, token }) => ({ partition, fencingToken: token }));
  }

  /** Joins the group. @throws StreamNotRegisteredError | ConsumerNameInUseError | ConnectionError */
  async start(): Promise<void> {
    const { stream, group } = this.options;
    const known = await this.context.find(stream, `consumer of group "${group}"`, this.stopped.signal);
    const store = new PartitionStore(this.context.redis, known, group);
    await patiently(() => store.createGroups(this.options.startFrom), this.stopped.signal);
    if (this.stopping) return;
    this.parts = this.assemble(known, store);
    await this.warmUp(this.parts, store);
    if (this.stopping) return;
    await this.parts.membership.start();
  }

  /**
   * Partitions are taken from others when this process joins, so it joins when it is ready for them: its bell is heard, its
   * connection for reading is open, and the code on the way has run. What fails here fails again where it is told of.
   */
  private async warmUp({ group, reader }: Parts, store: PartitionStore): Promise<void> {
    const done = new AbortController();
    let stop = (): void => undefined;
    const heard = new Promise<void>((resolve) => (stop = this.context.redis.doorbell.listen(group.keys.bell, () => resolve())));
    const ready = Promise.all([heard, group.roster().then(({ target }) => assign(group.partitions, [...target.keys(), ''], target), () => undefined), reader.warmUp(store.keyOf(0))]);
    this.stopped.signal.addEventListener('abort', () => done.abort(), { once: true });
    await Promise.race([ready, sleep(WARM_UP_MS, done.signal)]);
    done.abort();
    // After the one that follows has begun to listen.
    setImmediate(() => setImmediate(stop));
  }

  /** Finishes what runs, commits, hands over, leaves. Idempotent; bounded by twice `drainMs` and the command timeout. */
  stop(): Promise<void> {
    return (this.stopping ??= this.leave('closed'));
  }

  private assemble(known: KnownStream, store: PartitionStore): Parts {
    const { options, context } = this;
    const { redis, events, identity, session } = context;
    const { stream, group: name } = options;
    const scope = `${stream}#${name}`;
    const group = new GroupStore(redis, stream, name, known.partitions);
    const reader = new PartitionReader(redis, {
      trouble: (error, retryInMs, failures) => events.emit('reader.error', { service: scope, error, retryInMs, failures }),
      recovered: (failures, downMs) => events.emit('reader.recovered', { service: scope, failures, downMs }),
    });
    const holdings = new Holdings(options, this.deliveries(), store, reader, {
      events,
      drainMs: context.drainMs,
      session: () => membership.session,
      alone: () => context.alone(),
      release: (partition, token, above) => coordinator.release(partition, token, above),
      hook: (hook, event) => this.hook(hook, event),
      onError: (error, about) => context.onError(error, { stream, group: name, ...about }),
    });
    const membership: Membership = new Membership(
      redis,
      // The member's name is what the target is made for: a name of its own outlives the session.
      { scope, keys: group.keys, identity, session, meta: (id) => (identity.exclusive ? identity.name : id), commandTimeoutMs: context.commandTimeoutMs },
      events,
      {
        joined: () => (coordinator.reset(), coordinator.sync(), this.joined()),
        lost: () => (coordinator.reset(), holdings.loseAll('session-lost')),
        look: (ring) => (coordinator.rung(ring), ring === undefined && holdings.tidy()),
        failed: (error) => void (this.stopping ??= this.leave('name-in-use', error)),
        trouble: (error) => context.onError(error, { stream, group: name, during: 'joining again' }),
      },
    );
    const coordinator: Coordinator = new Coordinator(group, events, {
      session: () => {
        const id = membership.session;
        return id === undefined ? undefined : { id, member: this.memberOf(id) };
      },
      held: () => holdings.held(),
      granted: (id: string, grants: readonly Grant[]) => void holdings.take(id, grants),
      revoke: (partitions) => void holdings.giveBack(partitions, 'rebalance'),
      gone: (grants) => holdings.lose(grants.flatMap(([partition, token]) => (holdings.holds(partition, token) ? [partition] : [])), 'fenced'),
      paused: (partitions) => holdings.pause(partitions),
      refused: (id) => membership.refused(id),
      trouble: (error) => context.onError(error, { stream, group: name, during: 'looking at the group' }),
    });
    return { group, membership, coordinator, holdings, reader };
  }

  /** Again, after a loss: whoever emptied the server took the registration with it. */
  private joined(): void {
    if (this.joinedBefore) this.context.rejoined();
    this.joinedBefore = true;
  }

  private memberOf(session: string): string {
    const { identity } = this.context;
    return identity.exclusive ? identity.name : session;
  }

  private deliveries(): DeliveryFactory {
    const { message, batch } = this.handlers;
    return batch ? batches((data, context) => batch(data, context), this.options.batch ?? 100) : singles((data, context) => message?.(data, context));
  }

  private async leave(reason: 'closed' | 'name-in-use' | 'failed', error?: Error): Promise<void> {
    this.stopped.abort();
    const { parts, options, context } = this;
    const { stream, group } = options;
    const consumer = this.session ?? context.identity.name;
    if (parts) {
      const { holdings, membership, coordinator, reader } = parts;
      // With a seat to come back to, nobody is to take anything: then all is given back at once, when all is done.
      if (options.rejoinMs > 0) await coordinator.stop();
      else await coordinator.resign();
      await holdings.giveBackAll('shutdown');
      await coordinator.stop();
      const session = await membership.stop();
      await reader.stop();
      if (session) {
        try {
          await parts.group.leave(session, this.memberOf(session), options.rejoinMs);
          context.events.emit('session.left', { scope: `${stream}#${group}`, session });
        } catch (failure) {
          // Not told in time: peers wait for the deadline instead. Nothing is lost.
          context.onError(failure as Error, { stream, group, during: 'leaving the group; its partitions move when its session expires' });
        }
      }
    }
    if (this.ended) return;
    this.ended = true;
    context.events.emit('partition.terminated', { stream, group, consumer, reason, ...(error ? { error } : {}) });
  }

  /** One after the other, so that nobody hears of the end of an ownership before its beginning. */
  private hook(hook: 'assigned' | 'revoked' | 'lost', event: PartitionsEvent): Promise<void> {
    return (this.hooks = this.hooks.then(() => this.bounded(hook, this.callHook(hook, event))));
  }

  private async bounded(hook: string, call: Promise<void>): Promise<void> {
    const { drainMs } = this.context;
    const done = new AbortController();
    const late = sleep(drainMs, done.signal).then(() => {
      if (done.signal.aborted) return;
      const error = new Error(`the hook "${hook}" took longer than ${drainMs} ms (shutdown.drainMs) and is not waited for any more`);
      this.context.onError(error, { stream: this.stream, group: this.group, during: `the hook "${hook}"` });
    });
    await Promise.race([call, late]);
    done.abort();
  }

  private async callHook(hook: 'assigned' | 'revoked' | 'lost', event: PartitionsEvent): Promise<void> {
    try {
      await (this.handlers[hook] as ((event: PartitionsEvent) => unknown) | undefined)?.(event);
    } catch (error) {
      this.context.events.emit('hook.error', { service: `${this.stream}#${this.group}`, hook, error: toError(error) });
    }
  }
}
