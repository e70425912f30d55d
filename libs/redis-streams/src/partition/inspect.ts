import { InvalidOptionsError } from '../errors/index.js';
import { describe } from '../keys/names.js';
import { shardKeys, shardOf } from '../keys/partition-keys.js';
import { fieldsOf } from '../redis/compat.js';
import type { RedisConnection } from '../redis/connection.js';
import { withCount, type Counted } from './count.js';
import type { GroupStore } from './group-store.js';
import { idBefore } from './options.js';
import { readHeaders } from '../handling/headers.js';
import type { KnownStream } from './registration.js';
import type { GroupAssignment, PartitionDeadLetter, PartitionLag, Position } from './types.js';

export async function assignmentOf(store: GroupStore): Promise<GroupAssignment> {
  const { generation, planned, members, target, owners, deadlines, paused } = await store.roster();
  const memberOf = new Map([...members].map(([name, session]) => [session, name]));
  const list = [...members].map(([name, session]) => ({
    name,
    session: session === '-' ? undefined : session,
    target: [...(target.get(name) ?? [])],
    owned: [...owners].filter(([, owner]) => owner.session === session && session !== '-').map(([partition]) => partition).sort((a, b) => a - b),
    deadline: deadlines.get(session),
  }));
  return {
    stream: store.stream,
    group: store.group,
    generation,
    settled: generation === planned && list.every(({ target: wanted, owned }) => wanted.length === owned.length && wanted.every((partition) => owned.includes(partition))),
    members: list.sort((a, b) => (a.name < b.name ? -1 : 1)),
    owners: Array.from({ length: store.partitions }, (_, partition) => {
      const owner = owners.get(partition);
      const live = owner && deadlines.has(owner.session);
      return { partition, owner: live ? (memberOf.get(owner.session) ?? owner.session) : undefined, session: live ? owner.session : undefined, fencingToken: owner?.token ?? 0 };
    }),
    paused,
  };
}

/** Position and lag as Redis's own XINFO GROUPS shows them. */
export function lagOf(redis: RedisConnection, stream: KnownStream, group: string): Promise<PartitionLag[]> {
  return Promise.all(
    Array.from({ length: stream.partitions }, async (_, partition) => {
      const key = shardKeys(stream.stream, shardOf(partition, stream.shards)).partition(partition);
      const [info, groups] = await Promise.all([xinfo(redis, 'STREAM', key), xinfo(redis, 'GROUPS', key)]);
      if (!info) return { partition, size: 0, position: undefined, lastId: '0-0', lag: 0 };
      const fields = fieldsOf(info);
      const row = (groups as unknown[]).map(fieldsOf).find((candidate) => String(candidate.get('name')) === group);
      const lag = row?.get('lag');
      const size = Number(fields.get('length'));
      return {
        partition,
        size,
        position: row ? String(row.get('last-delivered-id')) : undefined,
        lastId: String(fields.get('last-generated-id')),
        lag: row ? (lag === null || lag === undefined ? -1 : Number(lag)) : size,
      };
    }),
  );
}

/** Undefined for a partition nothing was sent to yet. */
async function xinfo(redis: RedisConnection, what: string, key: string): Promise<unknown> {
  try {
    return await redis.commands.call('XINFO', [what, key]);
  } catch (error) {
    if (error instanceof Error && /no such key/i.test(error.message)) return undefined;
    throw error;
  }
}

/** Moves a group's position; its owner is fenced off and goes on from there. */
export async function seekPartition(redis: RedisConnection, stream: KnownStream, group: string, partition: number, position: Position): Promise<void> {
  const keys = shardKeys(stream.stream, shardOf(partition, stream.shards));
  const key = keys.partition(partition);
  const named = position === 'earliest' || position === 'latest' ? position : undefined;
  const after = named ?? idBefore(position);
  if (after === undefined) throw new InvalidOptionsError([{ path: 'position', message: `must be "earliest", "latest", an entry id or a Date (got ${describe(position)})` }]);
  const move = async ({ count, first }: Counted): Promise<boolean | undefined> => {
    const [status] = (await redis.scripts.run('partition-seek', [key, keys.positions(group)], [group, partition, after, count, first])) as [string];
    return status === 'OK' ? true : undefined;
  };
  await (named ? move({ count: -1, first: '' }) : withCount(redis, key, after, move));
}

export async function deadLettersOf(redis: RedisConnection, stream: KnownStream, group: string, limit: number): Promise<PartitionDeadLetter[]> {
  const shards = Array.from({ length: stream.shards }, (_, shard) => shardKeys(stream.stream, shard).dead(group));
  const replies = await Promise.all(shards.map((key) => redis.commands.call('XREVRANGE', [key, '+', '-', 'COUNT', limit])));
  const letters = (replies as Array<Array<[string, string[]]>>).flat().map(([entryId, flat]) => letterOf(String(entryId), fieldsOf(flat)));
  return letters.sort((a, b) => b.at - a.at).slice(0, limit);
}

function letterOf(entryId: string, fields: ReadonlyMap<string, unknown>): PartitionDeadLetter {
  const text = (name: string): string => String(fields.get(name) ?? '');
  const key = fields.get('entry.key');
  return {
    entryId,
    reason: text('reason'),
    error: text('error'),
    stream: text('stream'),
    group: text('group'),
    partition: Number(text('partition')),
    id: text('id'),
    key: key === undefined ? undefined : String(key),
    data: text('entry.data'),
    headers: readHeaders(text('entry.headers') || '{}'),
    attempts: Number(text('attempts')),
    at: Number(text('at')),
  };
}
