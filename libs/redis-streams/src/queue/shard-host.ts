import type { RedisStreamsEvents } from '../observability/events.js';
import type { RedisConnection } from '../redis/connection.js';
import type { ConsumerIdentity } from '../session/identity.js';
import type { ResolvedSession } from '../session/options.js';
import type { HeldMessage } from './held-message.js';
import type { QueueShard } from './shard.js';

/** What a shard needs of its consumer. */
export interface QueueShardHost {
  readonly queue: string;
  readonly group: string;
  readonly events: RedisStreamsEvents;
  /** Messages a shard may hold, at first and at most. */
  readonly prefetchFrom: number;
  readonly prefetch: number;
  readonly startFrom: string;
  /** So long what is handled may wait to be settled along with more. */
  readonly lingerMs: number;
  /** Of one read. */
  readonly blockMs: number;
  /** Handlers could run, and there is nothing for them. */
  hungry(): boolean;
  /** To be handled. */
  delivered(shard: QueueShard, messages: readonly HeldMessage[]): void;
  /** The session is over: what it held is for others. */
  lost(shard: QueueShard): void;
  /** Another session, after one was lost. */
  rejoined(): void;
  failed(error: Error): void;
  onError(error: Error, during: string): void;
}

export interface QueueShardContext {
  readonly redis: RedisConnection;
  readonly identity: ConsumerIdentity;
  readonly session: ResolvedSession;
  readonly commandTimeoutMs: number;
}
