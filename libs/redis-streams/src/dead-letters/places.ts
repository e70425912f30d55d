import type { RoomStore } from '../fanout/store.js';
import { InvalidOptionsError, type OptionProblem } from '../errors/index.js';
import { leaseKeys } from '../keys/lease-keys.js';
import { checkKeys, checkPartName, checkServiceName, checkStreamName, describe } from '../keys/names.js';
import { fullName, shardKeys, shardOf } from '../keys/partition-keys.js';
import type { QueueShardKeys } from '../keys/queue-keys.js';
import type { KnownStream } from '../partition/registration.js';
import type { Argument } from '../redis/compat.js';
import type { RedisConnection } from '../redis/connection.js';
import type { ScriptName } from '../redis/script-runner.js';
import type { RawLetter } from './letter.js';
import type { DeadLetterKind, DeadLetterSource } from './types.js';

/** What a place needs to know of the capabilities. */
export interface Capabilities {
  readonly redis: RedisConnection;
  /** Default of sources without one. */
  readonly namespace: { readonly partition: string | undefined; readonly queue: string | undefined };
  /** A registered stream. @throws StreamNotRegisteredError */
  stream(name: string): Promise<KnownStream>;
  /** A registered queue. @throws QueueNotRegisteredError */
  queue(name: string): Promise<{ readonly queue: string; readonly keys: readonly QueueShardKeys[] }>;
  /** One per shard of rooms. @throws FanoutMismatchError */
  rooms(): Promise<readonly RoomStore[]>;
}

/** One numbered batch of a replay. */
export interface ReplayBatch {
  readonly shard: number;
  /** Key of the record by which a batch that comes again is known. */
  readonly work: string;
  readonly batch: number;
  readonly keepMs: number;
  readonly letters: readonly RawLetter[];
}

/** A source, looked up: where its letters are, which of them are its own, and how they go back. */
export interface Place {
  readonly kind: DeadLetterKind;
  /** As events and logs show it. */
  readonly name: string;
  /** Dead-letter streams by shard. */
  readonly dead: readonly string[];
  /** Undefined: all letters there are the source's. */
  readonly owns: ((letter: RawLetter) => boolean) | undefined;
  /** @returns per letter 'OK', or why not */
  replay(batch: ReplayBatch): Promise<readonly string[]>;
}

/** @throws InvalidOptionsError | StreamNotRegisteredError | QueueNotRegisteredError | FanoutMismatchError */
export async function placeOf(source: DeadLetterSource, capabilities: Capabilities): Promise<Place> {
  const { redis, namespace } = capabilities;
  const run = async (script: ScriptName, keys: readonly string[], args: readonly Argument[]): Promise<readonly string[]> => (await redis.scripts.run(script, keys, args)) as string[];
  switch (source?.kind) {
    case 'lease': {
      check([...known(source, 'service'), ...checkServiceName(source.service, 'source.service')]);
      const { dead, lbs, leases, checkpoints } = leaseKeys(source.service);
      return {
        kind: 'lease', name: source.service, dead: [dead], owns: undefined,
        replay: ({ work, batch, keepMs, letters }) => run('lease-replay', [dead, work, lbs, leases, checkpoints], [batch, keepMs, ...idsOf(letters)]),
      };
    }
    case 'partition': {
      check([...known(source, 'stream', 'group', 'namespace'), ...checkPartName(source.group, 'source.group'), ...nameProblems('stream', source.stream, source.namespace)]);
      const { group } = source;
      const stream = await capabilities.stream(fullName(source.namespace ?? namespace.partition, source.stream));
      const shards = Array.from({ length: stream.shards }, (_, shard) => shardKeys(stream.stream, shard));
      return {
        kind: 'partition', name: `${stream.stream}#${group}`, dead: shards.map((keys) => keys.dead(group)), owns: undefined,
        replay: ({ shard, work, batch, keepMs, letters }) => {
          const { dead, partition } = shards[shard]!;
          const partitions = [...new Set(letters.map(({ fields }) => partitionOf(fields['partition'], stream, shard)))].filter((number) => number !== undefined);
          return run('partition-replay', [dead(group), work, ...partitions.map(partition)], [batch, keepMs, group, stream.maxEntries, partitions.length, ...partitions, ...idsOf(letters)]);
        },
      };
    }
    case 'fanout': {
      const { room } = source;
      check([...known(source, 'room'), ...(room === undefined ? [] : checkStreamName(room, 'source.room'))]);
      const stores = await capabilities.rooms();
      return {
        kind: 'fanout', name: room === undefined ? 'all rooms' : `room "${room}"`, dead: stores.map(({ keys }) => keys.dead),
        owns: room === undefined ? undefined : ({ fields }) => fields['room'] === room,
        replay: ({ shard, work, batch, keepMs, letters }) => {
          const rooms = [...new Set(letters.map(({ fields }) => fields['room']))].filter((name) => name !== undefined);
          return stores[shard]!.replay(work, batch, keepMs, rooms, idsOf(letters));
        },
      };
    }
    case 'queue': {
      const { group } = source;
      check([...known(source, 'queue', 'group', 'namespace'), ...(group === undefined ? [] : checkPartName(group, 'source.group')), ...nameProblems('queue', source.queue, source.namespace)]);
      const { queue, keys } = await capabilities.queue(fullName(source.namespace ?? namespace.queue, source.queue));
      return {
        kind: 'queue', name: group === undefined ? queue : `${queue}#${group}`, dead: keys.map(({ dead }) => dead),
        owns: group === undefined ? undefined : ({ fields }) => fields['group'] === group,
        replay: ({ shard, work, batch, keepMs, letters }) => run('queue-replay', [keys[shard]!.dead, work, keys[shard]!.messages], [batch, keepMs, ...idsOf(letters)]),
      };
    }
    default:
      throw new InvalidOptionsError([{ path: 'source.kind', message: `must be "lease", "partition", "fanout" or "queue" (got ${describe((source as { kind?: unknown } | undefined)?.kind)})` }]);
  }
}

function idsOf(letters: readonly RawLetter[]): string[] {
  return letters.map(({ id }) => id);
}

/** Undefined: there is no such partition in that shard. */
function partitionOf(text: string | undefined, { partitions, shards }: KnownStream, shard: number): number | undefined {
  const partition = Number(text);
  return String(partition) === text && Number.isInteger(partition) && partition >= 0 && partition < partitions && shardOf(partition, shards) === shard ? partition : undefined;
}

/** A misspelt room or group would mean all of them, and what is purged is gone. */
function known(source: DeadLetterSource, ...names: readonly string[]): OptionProblem[] {
  return checkKeys(source, ['kind', ...names], 'source');
}

function nameProblems(what: string, name: unknown, namespace: unknown): OptionProblem[] {
  return [...checkPartName(name, `source.${what}`), ...(namespace === undefined ? [] : checkPartName(namespace, 'source.namespace'))];
}

function check(problems: readonly OptionProblem[]): void {
  if (problems.length > 0) throw new InvalidOptionsError(problems);
}
