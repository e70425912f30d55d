import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { launch } from '../processes/guarded.js';
import { reach } from './reach.js';
import type { DemoServer } from './server.js';

const ATTEMPTS = 3;

/** Starts a server of our own: free port, this machine only, nothing on disk, gone with us. */
export async function startPrivate(binary: string, label: string): Promise<DemoServer> {
  let failure = '';
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = await freePort();
    const { child, exited } = launch(binary, [
      '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--daemonize', 'no', '--dir', tmpdir(), '--loglevel', 'warning',
    ], process.env, false);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-2_000)));
    const url = `redis://127.0.0.1:${port}`;
    const ended = exited.then(() => 'ended');
    // Somebody else may have taken the port in between: then ours has ended, and whoever answers is not ours.
    const outcome = await Promise.race([ended, reach(url, 5_000).then((error) => error ?? 'up')]);
    if (outcome === 'up' && child.exitCode === null) {
      return {
        url, kind: 'private', about: `${label}, private on port ${port}, ends with the demo`,
        close: async () => {
          child.kill('SIGKILL');
          await exited;
        },
      };
    }
    child.kill('SIGKILL');
    failure = output.trim().split('\n').pop() ?? outcome;
  }
  throw new Error(`${label} did not start: ${failure}`);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
