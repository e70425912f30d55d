import { StreamMismatchError, StreamNotRegisteredError, type OptionProblem } from '../errors/index.js';
import { PARTITIONERS, type Partitioner } from '../kernel/partitioner.js';
import { objectOf } from '../keys/check.js';
import { checkKeys, checkPartName, describe } from '../keys/names.js';
import { fullName, registrationKey } from '../keys/partition-keys.js';
import type { StreamRegistration } from '../options.js';
import type { RedisConnection } from '../redis/connection.js';
import { Registry, type RegistryKind } from '../redis/registry.js';

/** What Redis keeps about a stream: equal in every process, or it is refused. */
export interface StreamDefinition {
  readonly partitions: number;
  readonly shards: number;
  readonly partitioner: string;
  readonly maxEntries: number;
  readonly keepMs: number;
  readonly whenFull: 'reject' | 'drop-oldest';
}

/** A stream as this process knows it. */
export interface KnownStream extends StreamDefinition {
  /** Full name. */
  readonly stream: string;
  /** Undefined: it has a partitioner of its own, which this process was not given yet, and so cannot send by key. */
  partition: Partitioner | undefined;
}

export interface ResolvedRegistration {
  readonly stream: string;
  readonly connection: string;
  readonly definition: StreamDefinition;
  readonly partition: Partitioner;
}

export function resolveRegistration(input: StreamRegistration, namespace: string | undefined, connections: readonly string[], path: string): { value: ResolvedRegistration; problems: OptionProblem[] } {
  const problems: OptionProblem[] = checkKeys(input, ['name', 'namespace', 'connection', 'partitions', 'shards', 'partitioner', 'retention'], path);
  const number = (key: string, value: unknown, fallback: number, min: number, max: number): number => {
    if (value === undefined && !Number.isNaN(fallback)) return fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    problems.push({ path: `${path}.${key}`, message: `must be a whole number from ${min} to ${max} (got ${describe(value)})` });
    return min;
  };
  problems.push(...checkPartName(input.name, `${path}.name`));
  if (input.namespace !== undefined) problems.push(...checkPartName(input.namespace, `${path}.namespace`));
  const connection = input.connection ?? 'default';
  if (!connections.includes(connection)) problems.push({ path: `${path}.connection`, message: `must be one of the configured connections: ${connections.join(', ')} (got ${describe(connection)})` });
  const partitions = number('partitions', input.partitions, NaN, 1, 10_000);
  const shards = number('shards', input.shards, 1, 1, 1_024);
  if (shards > partitions && partitions === input.partitions) problems.push({ path: `${path}.shards`, message: `must be at most the number of partitions, ${partitions} (got ${shards})` });
  const retention = objectOf(input.retention, `${path}.retention`, problems);
  problems.push(...checkKeys(retention, ['maxEntries', 'keepMs', 'whenFull'], `${path}.retention`));
  const whenFull = retention.whenFull ?? 'reject';
  if (whenFull !== 'reject' && whenFull !== 'drop-oldest') problems.push({ path: `${path}.retention.whenFull`, message: `must be "reject" or "drop-oldest" (got ${describe(whenFull)})` });
  const definition: StreamDefinition = {
    partitions,
    shards,
    partitioner: partitionerName(input.partitioner, (message) => problems.push({ path: `${path}.partitioner`, message })),
    maxEntries: number('retention.maxEntries', retention.maxEntries, 1_000_000, 1, 1_000_000_000),
    keepMs: number('retention.keepMs', retention.keepMs, 0, 0, 31_536_000_000),
    whenFull,
  };
  return { value: { stream: fullName(input.namespace ?? namespace, input.name), connection, definition, partition: partitionerOf(input.partitioner) }, problems };
}

function partitionerName(given: StreamRegistration['partitioner'], problem: (message: string) => void): string {
  if (given === undefined) return 'murmur2';
  if (typeof given === 'string' && Object.hasOwn(PARTITIONERS, given)) return given;
  const custom = given as { name?: unknown; partition?: unknown } | null;
  if (typeof custom === 'object' && typeof custom?.partition === 'function' && typeof custom.name === 'string' && !Object.hasOwn(PARTITIONERS, custom.name) && checkPartName(custom.name, '').length === 0) return custom.name;
  problem(`must be "murmur2", "fnv1a", or an object with a name of its own and a function partition(key, partitions) (got ${describe(given)})`);
  return 'murmur2';
}

function partitionerOf(given: StreamRegistration['partitioner']): Partitioner {
  if (given === undefined || typeof given === 'string') return PARTITIONERS[(given ?? 'murmur2') as keyof typeof PARTITIONERS] ?? PARTITIONERS.murmur2;
  return (key, partitions) => given.partition(key, partitions);
}

const STREAMS: RegistryKind<StreamDefinition, ResolvedRegistration, KnownStream> = {
  what: 'stream',
  nameOf: ({ stream }) => stream,
  keyOf: registrationKey,
  known: (stream, definition, own) => ({ ...definition, stream, partition: own?.partition ?? builtIn(definition.partitioner) }),
  registered: (known, { partition }) => void (known.partition = partition),
  mismatch: (stream, differences, by) => new StreamMismatchError(stream, differences, by),
  missing: (stream, who) => new StreamNotRegisteredError(stream, who),
};

/** Streams of one connection: those registered here, and those somebody else registered. */
export class StreamRegistry extends Registry<StreamDefinition, ResolvedRegistration, KnownStream> {
  constructor(redis: RedisConnection, by: string, waitMs: number) {
    super(redis, by, waitMs, STREAMS);
  }
}

function builtIn(partitioner: string): Partitioner | undefined {
  return Object.hasOwn(PARTITIONERS, partitioner) ? PARTITIONERS[partitioner as keyof typeof PARTITIONERS] : undefined;
}
