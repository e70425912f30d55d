import type { Reply } from '../../../support/redis-command.js';
import { waitUntil } from '../../../support/wait.js';
import type { World } from './world.js';

/** The names a stream's keys are documented to have: spelled out here, so that renaming one breaks a test. */
export const keysOf = (stream: string, { shards = 1, group = 'group' }: { shards?: number; group?: string } = {}) => ({
  registration: `{${stream}}:stream`,
  partition: (partition: number) => `{${stream}/${partition % shards}}:${partition}`,
  positions: (partition: number) => `{${stream}/${partition % shards}}:positions:${group}`,
  dead: (partition: number) => `{${stream}/${partition % shards}}:dead:${group}`,
  dropped: (partition: number) => `{${stream}/${partition % shards}}:dropped`,
  producers: (partition: number) => `{${stream}/${partition % shards}}:producer:*`,
  sessions: `{${stream}#${group}}:sessions`,
  members: `{${stream}#${group}}:members`,
  names: `{${stream}#${group}}:names`,
  roster: `{${stream}#${group}}:roster`,
  away: `{${stream}#${group}}:away`,
  group: `{${stream}#${group}}:group`,
  target: `{${stream}#${group}}:target`,
  owners: `{${stream}#${group}}:owners`,
  bell: `{${stream}#${group}}:bell`,
});

/** A partition's key in a world where streams are spread as `world.stream` does. */
export const partitionKey = (world: World, stream: string, partition: number, shards = world.shards): string => keysOf(stream, { shards }).partition(partition);

/** Entries of a partition, oldest first: id and fields. */
export async function entriesOf(world: World, stream: string, partition: number, shards?: number): Promise<Array<{ id: string; fields: Record<string, string> }>> {
  const rows = (await world.cli(['XRANGE', partitionKey(world, stream, partition, shards), '-', '+'])) as [string, string[]][];
  return rows.map(([id, flat]) => ({ id, fields: pairs(flat) }));
}

export interface GroupRow { lastDeliveredId: string; entriesRead: number | null; lag: number | null; pending: number }

/** A group as XINFO GROUPS shows it, or undefined. */
export async function groupRow(world: World, stream: string, partition: number, group = 'group', shards?: number): Promise<GroupRow | undefined> {
  const key = partitionKey(world, stream, partition, shards);
  const rows = (await world.cli(['XINFO', 'GROUPS', key], key)) as Reply[][];
  const row = rows.map((flat) => pairs(flat as string[])).find(({ name }) => name === group);
  return row && {
    lastDeliveredId: String(row['last-delivered-id']), pending: Number(row['pending']),
    entriesRead: row['entries-read'] as unknown as number | null, lag: row['lag'] as unknown as number | null,
  };
}

/** Every partition of the stream is committed to its end by the group, as Redis itself tells. */
export async function caughtUp(world: World, stream: string, partitions: number, { group = 'group', timeoutMs = 20_000, shards }: { group?: string; timeoutMs?: number; shards?: number } = {}): Promise<void> {
  await waitUntil(async () => {
    for (let partition = 0; partition < partitions; partition++) {
      const key = partitionKey(world, stream, partition, shards);
      if ((await world.cli(['EXISTS', key])) === 0) continue;
      const last = pairs((await world.cli(['XINFO', 'STREAM', key], key)) as string[])['last-generated-id'];
      const row = await groupRow(world, stream, partition, group, shards);
      if (row?.lastDeliveredId !== last) throw new Error(`partition ${partition} of ${group}: ${JSON.stringify(row)}, the stream ends at ${last}`);
    }
    return true;
  }, { what: `group ${group} has committed all of ${stream}`, timeoutMs });
}

function pairs(flat: readonly string[]): Record<string, string> {
  return Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [String(flat[2 * i]), flat[2 * i + 1]!]));
}
