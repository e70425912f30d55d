import { findRedisBinary } from '../../../../tools/redis-binary.mjs';
import { startEmbedded } from './embedded-server.js';
import { startPrivate } from './private-server.js';
import { reach } from './reach.js';
import { type DemoServer, withoutPassword } from './server.js';

/** REDIS_URL, else a server binary on this machine, else the embedded one. */
export async function findServer(env: NodeJS.ProcessEnv = process.env): Promise<DemoServer> {
  const url = env['REDIS_URL'];
  if (url) return given(url);
  const binary = findRedisBinary({ env });
  return binary ? startPrivate(binary.server, `${binary.kind}-server ${binary.version}`) : startEmbedded();
}

async function given(url: string): Promise<DemoServer> {
  const shown = withoutPassword(url);
  const error = await reach(url, 3_000);
  if (error !== undefined) throw new Error(`REDIS_URL is set, but ${shown} does not answer: ${error}`);
  return { url, kind: 'given', about: `${shown} (REDIS_URL)`, close: async () => undefined };
}
