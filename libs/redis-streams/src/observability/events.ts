import type { AbortReason, EjectReason, PartitionLossReason } from '../errors/index.js';
import type { ErrorContext } from '../options.js';

interface OfService {
  readonly service: string;
}
interface OfStream extends OfService {
  readonly stream: string;
  readonly token: number;
  readonly owner: string;
}

interface OfGroup {
  /** Full name: with its namespace. */
  readonly stream: string;
  readonly group: string;
}
interface OfShard {
  /** Full name: with its namespace. */
  readonly queue: string;
  readonly group: string;
  readonly shard: number;
}
interface OfSubscriber {
  readonly room: string;
  readonly subscriber: string;
}
interface OfDeadLetters {
  readonly kind: 'lease' | 'partition' | 'fanout' | 'queue';
  readonly source: string;
  /** Who asked for it: as the caller says, else its process's consumer name. */
  readonly by: string;
  readonly error?: Error;
}
interface OfPartition extends OfGroup {
  readonly partition: number;
  readonly token: number;
}

/** Everything that happens, by name. Logs, stats and metrics are made from these and nothing else. */
export interface RedisStreamsEventMap {
  'connection.ready': { readonly connection: string; readonly role: string };
  'connection.error': { readonly connection: string; readonly role: string; readonly error: Error };
  'connection.replaced': { readonly connection: string; readonly role: string; readonly why: string };
  'server.warning': { readonly connection: string; readonly warning: string };
  'session.joined': { readonly scope: string; readonly session: string; readonly ttlMs: number };
  'session.renewed': { readonly scope: string; readonly session: string; readonly roundTripMs: number };
  'session.lost': { readonly scope: string; readonly session: string; readonly why: 'expired' | 'silent' | 'replaced' };
  'session.left': { readonly scope: string; readonly session: string };
  'lease.announced': OfService & { readonly stream: string; readonly id: string; readonly duplicate: boolean };
  'lease.assigned': OfStream & { readonly attempt: number; readonly source: 'new' | 'takeover' | 'retrying' | 'released' | 'held' | 'claim' };
  'lease.takenOver': OfStream & { readonly previousOwner: string };
  'lease.expired': OfService & { readonly stream: string; readonly previousOwner: string; readonly token: number };
  'lease.completed': OfStream & { readonly durationMs: number; readonly attempt: number };
  'lease.checkpointed': OfStream & { readonly id: string };
  'lease.retried': OfStream & { readonly attempt: number; readonly delayMs: number; readonly error: Error };
  'lease.released': OfStream & { readonly reason: 'shutdown' | 'rebalance' | 'handler' };
  'lease.lost': OfStream & { readonly reason: AbortReason };
  'lease.fenced': OfStream & { readonly operation: string };
  'lease.deadLettered': OfService & { readonly stream?: string; readonly entryId: string; readonly reason: string; readonly attempt?: number; readonly token?: number };
  'lease.handOver': OfService & { readonly asked: number; readonly held: number; readonly share: number };
  'lease.terminated': OfService & { readonly consumer: string; readonly reason: 'closed' | 'name-in-use' | 'failed'; readonly error?: Error };
  'partition.planned': OfGroup & { readonly generation: number; readonly members: number; readonly moved: number };
  'partition.assigned': OfPartition & { readonly from: 'free' | 'dead' | 'regranted' };
  'partition.revoked': OfPartition & { readonly reason: 'rebalance' | 'shutdown'; readonly drainMs: number };
  'partition.lost': OfPartition & { readonly reason: PartitionLossReason };
  'partition.committed': OfPartition & { readonly watermark: string; readonly messages: number };
  'partition.retried': OfPartition & { readonly id: string; readonly key: string | undefined; readonly attempt: number; readonly delayMs: number; readonly error: Error };
  'partition.deadLettered': OfPartition & { readonly id: string; readonly key: string | undefined; readonly reason: string; readonly attempt: number; readonly error?: Error };
  /** Owners died here `losses` times without progress: messages run one by one until the culprit is known. */
  'partition.suspected': OfPartition & { readonly losses: number };
  'partition.dropped': { readonly stream: string; readonly partition: number; readonly messages: number };
  'partition.paused': OfGroup & { readonly partitions: 'all' | readonly number[] };
  'partition.terminated': OfGroup & { readonly consumer: string; readonly reason: 'closed' | 'name-in-use' | 'failed'; readonly error?: Error };
  /** A local subscriber is in a room. */
  'room.joined': OfSubscriber;
  'room.left': OfSubscriber;
  /** A local subscriber is out of its room; `rejoins`: for now. */
  'room.ejected': OfSubscriber & { readonly reason: EjectReason; readonly messageId: string | undefined; readonly rejoins: boolean };
  /** This process has taken somebody out of rooms, so that they go on: a dead session of all its rooms, or one that was late in one. */
  'room.expelled': { readonly session: string; readonly reason: 'dead' | 'timeout'; readonly rooms: number; readonly room?: string };
  'room.retried': OfSubscriber & { readonly id: string; readonly attempt: number; readonly delayMs: number; readonly error: Error };
  /** Everybody who saw the message went away over it: it is shown again. */
  'room.redelivered': { readonly room: string; readonly id: string };
  'room.deadLettered': { readonly room: string; readonly id: string };
  /** Something in a room's channel or backlog that is no message. */
  'room.invalid': { readonly room: string; readonly id: string | undefined; readonly error: Error };
  /** An async subscriber is slower than its room. */
  'room.dropped': OfSubscriber & { readonly id: string };
  /** Redis has the outcome of so many messages. */
  'queue.settled': OfShard & { readonly done: number; readonly retried: number; readonly deadLettered: number };
  'queue.retried': OfShard & { readonly id: string; readonly attempt: number; readonly delayMs: number; readonly error: Error };
  'queue.deadLettered': OfShard & { readonly id: string; readonly reason: string; readonly attempt: number; readonly error?: Error };
  /** This process has taken what a dead consumer held. */
  'queue.takenOver': OfShard & { readonly messages: number };
  /** This process was silent past its deadline: what it held goes to others. */
  'queue.lost': OfShard & { readonly messages: number };
  'queue.paused': { readonly queue: string; readonly group: string; readonly paused: boolean };
  'queue.terminated': { readonly queue: string; readonly group: string; readonly reason: 'closed' | 'name-in-use' | 'failed'; readonly error?: Error };
  /** An event whose pattern nobody is known to handle: kept for the servers, who look again before it becomes a dead letter. */
  'transport.unrouted': { readonly pattern: string };
  /** A message older than its `ttlMs`, or a request older than its sender waits: acknowledged, and not run. */
  'transport.expired': { readonly pattern: string; readonly id: string; readonly ageMs: number };
  /** Whoever sent the request is gone: its reply is for nobody. */
  'transport.callerGone': { readonly pattern: string; readonly id: string };
  /** The replies of this client could not be kept: its open requests were failed. */
  'transport.repliesLost': { readonly requests: number };
  /** Somebody has put dead letters back; `error`: and could not go on. `source` is a service, stream#group, room or queue. */
  'deadLetters.replayed': OfDeadLetters & { readonly replayed: number; readonly skipped: number };
  'deadLetters.purged': OfDeadLetters & { readonly purged: number };
  'reader.error': OfService & { readonly error: Error; readonly retryInMs: number; readonly failures: number };
  'reader.recovered': OfService & { readonly failures: number; readonly downMs: number };
  /** What `onError` is told, but for connections and readers, which have events of their own. */
  error: { readonly error: Error; readonly context: ErrorContext };
  'hook.error': OfService & { readonly hook: string; readonly error: Error };
}

export type RedisStreamsEventName = keyof RedisStreamsEventMap;
export type RedisStreamsEvent = { [K in RedisStreamsEventName]: { readonly type: K } & RedisStreamsEventMap[K] }[RedisStreamsEventName];
type Listener<K extends RedisStreamsEventName> = (event: RedisStreamsEventMap[K]) => void;

/**
 * Typed event bus. Listeners run synchronously on the path that raised the event, so they must be quick;
 * one that throws is reported through `onListenerError` and disturbs nobody.
 */
export class RedisStreamsEvents {
  private readonly byName = new Map<RedisStreamsEventName, Set<(event: never) => void>>();
  private readonly all = new Set<(event: RedisStreamsEvent) => void>();
  /** Where errors of listeners go. Default: a process warning. */
  onListenerError: (error: unknown) => void = (error) => process.emitWarning(`event listener failed: ${String(error)}`);

  /** @returns a function that removes the listener. */
  on<K extends RedisStreamsEventName>(name: K, listener: Listener<K>): () => void {
    const set = this.byName.get(name) ?? new Set();
    this.byName.set(name, set);
    set.add(listener as (event: never) => void);
    return () => void set.delete(listener as (event: never) => void);
  }

  /** Every event, with its name in `type`. @returns a function that removes the listener. */
  onAny(listener: (event: RedisStreamsEvent) => void): () => void {
    this.all.add(listener);
    return () => void this.all.delete(listener);
  }

  emit<K extends RedisStreamsEventName>(name: K, event: RedisStreamsEventMap[K]): void {
    for (const listener of this.byName.get(name) ?? []) this.guard(() => (listener as Listener<K>)(event));
    if (this.all.size === 0) return;
    const typed = { type: name, ...event } as unknown as RedisStreamsEvent;
    for (const listener of this.all) this.guard(() => listener(typed));
  }

  /** @internal Also for a listener that is an async function, though nobody waits for it: its rejection must not end the process. */
  guard(call: () => unknown): void {
    try {
      const result = call();
      if (result instanceof Promise) result.catch((error: unknown) => this.onListenerError(error));
    } catch (error) {
      this.onListenerError(error);
    }
  }
}
