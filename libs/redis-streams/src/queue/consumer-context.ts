import type { QueueShardKeys } from '../keys/queue-keys.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ErrorContext } from '../options.js';
import type { RedisConnection } from '../redis/connection.js';
import type { ConsumerIdentity } from '../session/identity.js';
import type { ResolvedSession } from '../session/options.js';

/** What a queue's consumer is given. */
export interface QueueConsumerContext {
  readonly redis: RedisConnection;
  readonly events: RedisStreamsEvents;
  readonly identity: ConsumerIdentity;
  readonly session: ResolvedSession;
  readonly commandTimeoutMs: number;
  readonly drainMs: number;
  /** Keys of every shard of a registered queue. @throws QueueNotRegisteredError */
  find(queue: string, who: string, signal: AbortSignal): Promise<readonly QueueShardKeys[]>;
  /** Runs one suspect at a time in this process; resolves with the function that ends its turn. */
  alone(): Promise<() => void>;
  /** A session was lost and another begun: what this process registered may be gone too. */
  rejoined(): void;
  onError(error: Error, context: ErrorContext): void;
}
