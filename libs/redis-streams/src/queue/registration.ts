import { QueueMismatchError, QueueNotRegisteredError, type OptionProblem } from '../errors/index.js';
import { shardTags } from '../kernel/shard-tags.js';
import { Check, objectOf } from '../keys/check.js';
import { checkKeys, checkPartName } from '../keys/names.js';
import { fullName } from '../keys/partition-keys.js';
import { queueKey, queueShardKeys, type QueueShardKeys } from '../keys/queue-keys.js';
import type { QueueRegistration } from '../options.js';
import type { RedisConnection } from '../redis/connection.js';
import { Registry, type RegistryKind } from '../redis/registry.js';
import { slotOf } from '../redis/slot.js';

/** What Redis keeps about a queue: equal in every process, or it is refused. */
export interface QueueDefinition {
  readonly shards: number;
  readonly dedupeMs: number;
}

/** A queue as this process knows it. */
export interface KnownQueue extends QueueDefinition {
  /** Full name. */
  readonly queue: string;
  /** By shard. */
  readonly keys: readonly QueueShardKeys[];
}

export interface ResolvedQueueRegistration {
  readonly queue: string;
  readonly connection: string;
  readonly definition: QueueDefinition;
}

export function resolveQueueRegistration(given: QueueRegistration, namespace: string | undefined, connections: readonly string[], path: string): { value: ResolvedQueueRegistration; problems: OptionProblem[] } {
  const check = new Check(path);
  const input = objectOf(given, path, check.problems);
  check.problems.push(...checkKeys(input, ['name', 'namespace', 'connection', 'shards', 'dedupeMs'], path), ...checkPartName(input.name, `${path}.name`));
  if (input.namespace !== undefined) check.problems.push(...checkPartName(input.namespace, `${path}.namespace`));
  const value: ResolvedQueueRegistration = {
    queue: fullName(input.namespace ?? namespace, input.name),
    connection: check.connection(input.connection, connections),
    definition: {
      shards: check.number('shards', input.shards, 1, 1, 256),
      dedupeMs: check.number('dedupeMs', input.dedupeMs, 600_000, 0, 31_536_000_000),
    },
  };
  return { value, problems: check.problems };
}

const QUEUES: RegistryKind<QueueDefinition, ResolvedQueueRegistration, KnownQueue> = {
  what: 'queue',
  nameOf: ({ queue }) => queue,
  keyOf: queueKey,
  known: (queue, definition) => ({ ...definition, queue, keys: shardTags(`queue:${queue}`, definition.shards, slotOf).map(queueShardKeys) }),
  mismatch: (queue, differences, by) => new QueueMismatchError(queue, differences, by),
  missing: (queue, who) => new QueueNotRegisteredError(queue, who),
};

/** Queues of one connection: those registered here, and those somebody else registered. */
export class QueueRegistry extends Registry<QueueDefinition, ResolvedQueueRegistration, KnownQueue> {
  constructor(redis: RedisConnection, by: string, waitMs: number) {
    super(redis, by, waitMs, QUEUES);
  }
}
