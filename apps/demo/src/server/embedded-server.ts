import { fileURLToPath } from 'node:url';
import { launch } from '../processes/guarded.js';
import { reach } from './reach.js';
import type { DemoServer } from './server.js';

const INSTALL = 'install Redis 7.0+ or Valkey 7.2+ (apt-get install redis-server, brew install redis), or set REDIS_URL';

/** The server that comes with npm: slower than a real one, but nothing needs to be installed. */
export async function startEmbedded(): Promise<DemoServer> {
  const { child, exited } = launch(process.execPath, [fileURLToPath(new URL('embedded-main.js', import.meta.url))], process.env, true);
  let output = '';
  child.stderr?.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-2_000)));
  const started = await Promise.race([
    new Promise<{ port: number }>((resolve) => child.once('message', (message) => resolve(message as { port: number }))),
    exited.then(() => undefined),
  ]);
  const url = `redis://127.0.0.1:${started?.port ?? 0}`;
  const error = started === undefined ? (output.trim().split('\n').pop() ?? 'it ended') : await reach(url, 5_000);
  if (error !== undefined) throw new Error(`no redis-server found, and the embedded one does not start (${error}): ${INSTALL}`);
  return {
    url, kind: 'embedded',
    about: `no redis-server found, so the embedded js-redis-server on port ${started?.port} (for a first look; ${INSTALL})`,
    close: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
