import { it } from 'vitest';
import { writeFileSync } from 'node:fs';
import { spawnNode } from '../../support/processes.js';
import { startRedis } from '../../support/redis-server.js';

// The victim of interrupt.test.ts, which runs it in a vitest of its own; skipped otherwise.
const report = process.env['HANGING_TEST_REPORT'];

it.skipIf(report === undefined)('hangs with a server and a child', async () => {
  const server = await startRedis();
  const child = spawnNode(new URL('../../support/fixtures/idle.ts', import.meta.url));
  await child.waitFor(() => true, 10_000, 'its start');
  writeFileSync(report as string, JSON.stringify({ pids: [process.pid, server.pid, child.pid], dir: server.dir }));
  await new Promise(() => undefined);
});
