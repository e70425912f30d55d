import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { isAlive, processesWith } from '../../support/alive.js';
import { spawnNode } from '../../support/processes.js';
import { repoRoot } from '../../support/repo.js';
import { waitUntil } from '../../support/wait.js';

it.each(['SIGINT', 'SIGKILL'] as const)('a test run ended by %s leaves no worker, server or child behind', async (signal) => {
  const folder = mkdtempSync(join(tmpdir(), 'nrs-interrupt-'));
  const report = join(folder, 'report');
  const run = spawnNode(join(repoRoot, 'node_modules', 'vitest', 'vitest.mjs'), {
    args: ['run', '--root', repoRoot, '--project', 'integration', 'test/integration/support/hanging.test.ts'],
    // A vitest within a vitest: it must not take itself for a worker of the outer one.
    env: { HANGING_TEST_REPORT: report, VITEST: undefined, VITEST_WORKER_ID: undefined, VITEST_POOL_ID: undefined },
  });
  try {
    const text = await waitUntil(() => existsSync(report) && readFileSync(report, 'utf8'), {
      what: 'the inner test hangs', timeoutMs: 45_000,
    }).catch((error: Error) => { throw new Error(`${error.message}\n${run.output()}`); });
    const { pids, dir } = JSON.parse(text) as { pids: number[]; dir: string };
    expect(pids.filter(isAlive)).toEqual(pids);
    await run.kill(signal);
    await waitUntil(() => !pids.some(isAlive) && processesWith(dir).length === 0 && !existsSync(dir), {
      what: 'everything is gone', timeoutMs: 5_000,
    });
  } finally {
    await run.kill();
    rmSync(folder, { recursive: true, force: true });
  }
});
