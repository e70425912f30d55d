// Before `npm pack`: a fresh build without leftovers, and the documents npm shows beside it.
import { spawnSync } from 'node:child_process';
import { copyFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const lib = join(root, 'libs/redis-streams');
const dist = process.env['PACK_DIST'] ?? join(lib, 'dist');
if (process.env['PACK_BUILD'] !== 'skip') {
  rmSync(dist, { recursive: true, force: true });
  for (const args of [['tools/embed-lua.mjs'], ['node_modules/typescript/bin/tsc', '-b', 'libs/redis-streams', '--force']]) {
    const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] });
    if (status !== 0) process.exit(status ?? 1);
  }
}
for (const file of ['README.md', 'LICENSE', 'CHANGELOG.md']) copyFileSync(join(root, file), join(lib, file));
