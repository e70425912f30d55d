import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The newest that runs on Node 20 with ioredis 5. Its own scratch folder: the workspace does not depend on it. */
export const BULLMQ = '6.7.0';
const IOREDIS = '5.8.2';

let installed: string | undefined;

/** A folder with BullMQ in its node_modules, until this process ends. @throws Error without a registry */
export function bullmqFolder(): string {
  if (installed !== undefined) return installed;
  const folder = mkdtempSync(join(tmpdir(), 'nrs-bench-bullmq-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'scratch', private: true, dependencies: { bullmq: BULLMQ, ioredis: IOREDIS } }));
  const { status, stderr } = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts'], { cwd: folder, encoding: 'utf8', timeout: 120_000 });
  if (status !== 0) throw new Error(`bullmq ${BULLMQ} cannot be installed: ${stderr.trim().split('\n').at(-1) ?? 'npm did not end'}`);
  return (installed = folder);
}
