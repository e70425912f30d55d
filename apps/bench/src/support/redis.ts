import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Redis } from 'ioredis';
import { spawnGuarded } from './guarded.js';

export interface PrivateRedis {
  readonly url: string;
  /** `redis 7.0.15`, say. */
  readonly version: string;
  stop(): Promise<void>;
}

interface Binary { readonly server: string; readonly kind: string; readonly version: string }

/** A server of our own on a free port, without persistence. It ends with this process, also when that is SIGKILLed. */
export async function startRedis(args: readonly string[] = []): Promise<PrivateRedis> {
  const { server, kind, version } = await findBinary();
  for (let attempt = 0; attempt < 20; attempt++) {
    // Below the ephemeral range, from which clients get their source ports.
    const port = randomInt(11_000, 22_000);
    const dir = await mkdtemp(join(tmpdir(), 'nrs-bench-'));
    const guarded = spawnGuarded(
      server,
      ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no', '--daemonize', 'no', ...args],
      { removeDir: dir },
    );
    const stop = async (): Promise<void> => {
      await guarded.kill();
      await rm(dir, { recursive: true, force: true });
    };
    if (await answers(port, guarded.child.pid, () => guarded.child.exitCode !== null)) return { url: `redis://127.0.0.1:${port}`, version: `${kind} ${version}`, stop };
    await stop();
  }
  throw new Error('redis-server did not come up on any of 20 ports');
}

/** Whoever answers must be the process we started, and not one that had the port before. */
async function answers(port: number, pid: number, ended: () => boolean): Promise<boolean> {
  for (const until = performance.now() + 10_000; performance.now() < until && !ended(); await sleep(10)) {
    const info = await ask(port);
    if (info !== undefined) return info.includes(`process_id:${pid}\r\n`);
  }
  return false;
}

/** A client a try: one that could not connect stays closed. */
async function ask(port: number): Promise<string | undefined> {
  const client = new Redis({ port, lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => undefined);
  try {
    return await client.info('server');
  } catch {
    return undefined;
  } finally {
    client.disconnect();
  }
}

async function findBinary(): Promise<Binary> {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, 'tools', 'redis-binary.mjs'))) root = dirname(root);
  const tool = (await import(pathToFileURL(join(root, 'tools', 'redis-binary.mjs')).href)) as { ensureRedisBinary(): Promise<Binary> };
  return tool.ensureRedisBinary();
}
