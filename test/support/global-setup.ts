import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { redisBinaryTool, repoRoot } from './repo.js';

/** Once per run, before any test file of the projects that need a server. */
export async function setup(): Promise<void> {
  const { ensureRedisBinary } = await redisBinaryTool();
  await ensureRedisBinary();
  // Children of the tests are plain Node programs. A type error must not keep everything else from running: the
  // build reports it, and a child whose output is stale refuses to start.
  const node = (...args: string[]): { status: number | null; stdout: string } =>
    spawnSync(process.execPath, args, { cwd: repoRoot, encoding: 'utf8' });
  node(join('tools', 'embed-lua.mjs'));
  const { status, stdout } = node(join('node_modules', 'typescript', 'bin', 'tsc'), '-b', 'test');
  if (status !== 0) process.stderr.write(`tsc -b test: ${stdout.trim().split('\n')[0] ?? `exit ${status}`}\n`);
}
