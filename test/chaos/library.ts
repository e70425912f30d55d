import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { repoRoot } from '../support/repo.js';

/**
 * The library under test. CHAOS_LIBRARY names another build of it (a folder with `dist` in it), so that a copy
 * broken on purpose can be run through the same scenarios: a scenario that cannot fail shows nothing.
 */
const folder = process.env['CHAOS_LIBRARY'] ?? join(repoRoot, 'libs', 'redis-streams');
const load = (path: string): Promise<unknown> => import(pathToFileURL(join(folder, 'dist', path)).href);

export const { RedisStreamsEngine } = (await load('lease/index.js')) as typeof import('nestjs-redis-streams/lease');
export type RedisStreamsEngine = InstanceType<typeof RedisStreamsEngine>;

/** The scripts themselves, for sending what the library would never send. */
export const { LUA } = (await load('scripts/lua.generated.js')) as { LUA: Readonly<Record<string, string>> };
