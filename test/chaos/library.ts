import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { repoRoot } from '../support/repo.js';

/**
 * The library under test. CHAOS_LIBRARY names another build of it (a folder with `dist` in it), so that a copy
 * broken on purpose can be run through the same scenarios: a scenario that cannot fail shows nothing.
 */
const folder = process.env['CHAOS_LIBRARY'] ?? join(repoRoot, 'libs', 'redis-streams');
export const load = (path: string): Promise<unknown> => import(pathToFileURL(join(folder, 'dist', path)).href);

export const { RedisStreamsEngine } = (await load('lease/index.js')) as typeof import('nestjs-redis-streams/lease');
export type RedisStreamsEngine = InstanceType<typeof RedisStreamsEngine>;

/** The scripts themselves, for sending what the library would never send. */
export const { LUA } = (await load('scripts/lua.generated.js')) as { LUA: Readonly<Record<string, string>> };

interface GroupKeys { readonly sessions: string; readonly members: string; readonly names: string; readonly roster: string; readonly away: string; readonly group: string; readonly target: string; readonly owners: string; readonly bell: string }
interface ShardKeys { partition(partition: number): string; positions(group: string): string; dead(group: string): string; readonly dropped: string }

/** Names of the partition capability's keys, for looking at the server past the library. */
export const { groupKeys, shardKeys, shardOf } = (await load('keys/partition-keys.js')) as {
  groupKeys(stream: string, group: string): GroupKeys;
  shardKeys(stream: string, shard: number): ShardKeys;
  shardOf(partition: number, shards: number): number;
};
