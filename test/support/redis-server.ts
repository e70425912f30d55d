import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.js';
import { type GuardedProcess, spawnGuarded, unrefChild } from './guarded-spawn.js';
import { redisCommand, type Reply } from './redis-command.js';
import { redisBinaryTool } from './repo.js';

export interface RedisOptions {
  /** Further server arguments, `['--maxmemory', '10mb']`. */
  args?: readonly string[];
  /** Fixed port; else a free one. */
  port?: number;
  /** Working folder; else a temporary one. */
  dir?: string;
  /** Remove the folder at the end; as a matter of course for a temporary one made here. */
  removeDir?: boolean;
  /** Also keeps port + 10,000 free, for the cluster bus. */
  withBus?: boolean;
  /** Put before all arguments: a configuration file. */
  configFile?: string;
  /** How the server calls itself in messages. */
  label?: string;
}

export interface RedisServer {
  readonly port: number;
  readonly url: string;
  readonly dir: string;
  /** Changes with a restart. */
  readonly pid: number;
  readonly running: boolean;
  /** SIGKILL, since nothing is persisted; waits for the end. May be called twice. */
  stop(): Promise<void>;
  /** Waits for the end unless the signal merely pauses or continues. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Kills and starts again on the same port; the data set is kept (SAVE) unless `empty`. */
  restart(options?: { empty?: boolean }): Promise<void>;
  /** One command on a connection of its own. */
  cli(...args: (string | number)[]): Promise<Reply>;
}

const START_TIMEOUT_MS = 20_000;
const PAUSING: readonly string[] = ['SIGSTOP', 'SIGCONT'];

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const { findRedisBinary, ensureRedisBinary } = await redisBinaryTool();
  const { server } = findRedisBinary() ?? (await ensureRedisBinary());
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'nrs-redis-')));
  const removeDir = (options.removeDir ?? options.dir === undefined) ? dir : undefined;
  const label = options.label ?? 'redis-server';

  const launch = (port: number): Promise<GuardedProcess> =>
    launchOnce(server, label, port, dir, removeDir, [
      ...(options.configFile === undefined ? [] : [options.configFile]),
      '--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no',
      '--daemonize', 'no', ...(options.args ?? []),
    ]);

  let port = 0;
  let current: GuardedProcess | undefined;
  for (let attempt = 1; !current; attempt++) {
    port = options.port ?? (await freePort({ withBus: options.withBus }));
    try {
      current = await launch(port);
    } catch (error) {
      // Somebody took the port between the probe and our bind.
      if (error instanceof PortTaken && options.port === undefined && attempt < 10) continue;
      if (removeDir !== undefined) await rm(removeDir, { recursive: true, force: true });
      throw error;
    }
  }
  let process_ = current;

  const running = (): boolean => process_.child.exitCode === null && process_.child.signalCode === null;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (!running()) return;
    process_.child.ref();
    process_.child.kill(signal);
    await process_.exited;
  };

  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    dir,
    get pid() { return process_.child.pid; },
    get running() { return running(); },
    cli: (...args) => redisCommand(port, ...args),
    kill: async (signal = 'SIGKILL') => {
      if (PAUSING.includes(signal)) process_.child.kill(signal);
      else await end(signal);
    },
    restart: async ({ empty = false } = {}) => {
      if (running() && !empty) await redisCommand(port, 'SAVE');
      await end('SIGKILL');
      if (empty) await rm(join(dir, 'dump.rdb'), { force: true });
      const deadline = performance.now() + START_TIMEOUT_MS;
      for (;;) {
        try {
          process_ = await launch(port);
          return;
        } catch (error) {
          if (!(error instanceof PortTaken) || performance.now() > deadline) throw error;
          await sleep(20);
        }
      }
    },
    stop: async () => {
      await end('SIGKILL');
      if (removeDir !== undefined) await rm(removeDir, { recursive: true, force: true });
    },
  };
}

class PortTaken extends Error {}

async function launchOnce(
  server: string, label: string, port: number, dir: string, removeDir: string | undefined, args: string[],
): Promise<GuardedProcess> {
  const guarded = spawnGuarded(server, args, { cwd: dir, removeDir });
  let output = '';
  const keep = (chunk: Buffer): void => { output = (output + chunk.toString()).slice(-4_000); };
  guarded.child.stdout.on('data', keep);
  guarded.child.stderr.on('data', keep);
  const gone = (): boolean => guarded.child.exitCode !== null || guarded.child.signalCode !== null;

  const deadline = performance.now() + START_TIMEOUT_MS;
  let last: unknown;
  while (performance.now() < deadline && !gone()) {
    try {
      await redisCommand(port, 'PING');
      // Whoever answers must be the process we started and not a server that was there before.
      const info = String(await redisCommand(port, 'INFO', 'server'));
      if (info.includes(`process_id:${guarded.child.pid}\r\n`)) {
        unrefChild(guarded);
        return guarded;
      }
      last = `port ${port} is answered by another server`;
    } catch (error) {
      last = error;
    }
    await sleep(10);
  }
  if (!gone()) guarded.child.kill('SIGKILL');
  await guarded.exited;
  if (/in use|Failed listening|bind:/i.test(output)) throw new PortTaken(`Port ${port} is in use`);
  throw new Error(`${label} did not come up on port ${port}: ${String(last)}\n${output}`);
}
