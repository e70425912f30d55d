import { existsSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { spawnGuarded } from './guarded-spawn.js';
import { compiled, repoRoot } from './repo.js';

export interface SpawnNodeOptions {
  args?: readonly string[];
  env?: NodeJS.ProcessEnv;
  execArgv?: readonly string[];
  /** Name in messages; else the script's. */
  label?: string;
}

export interface TestProcess<M = unknown> {
  readonly pid: number;
  readonly label: string;
  /** Every message so far, in order. */
  readonly messages: readonly M[];
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly running: boolean;
  /** The first message, past or future, that fits; on failure the error carries the process's last output. */
  waitFor<T extends M>(predicate: (message: M) => message is T, timeoutMs: number, what: string): Promise<T>;
  waitFor(predicate: (message: M) => boolean, timeoutMs: number, what: string): Promise<M>;
  send(message: unknown): void;
  /** Waits for the end of the process. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Sends a signal without waiting for anything. */
  signal(signal: NodeJS.Signals): void;
  /** SIGSTOP: the process lives but does nothing. */
  stopProcess(): void;
  /** SIGCONT. */
  continue(): void;
  /** The last lines of stdout and stderr. */
  output(): string;
}

const OUTPUT_BYTES = 32_000;

/** A `.ts` file of the test tree is run as `tsc -b test` compiled it, for Node 20 runs no TypeScript. */
function runnable(script: string | URL): string {
  const file = typeof script === 'string' && !script.startsWith('file:') ? script : fileURLToPath(script);
  if (extname(file) !== '.ts') return file;
  const target = compiled(file);
  if (!existsSync(target) || statSync(target).mtimeMs < statSync(file).mtimeMs) {
    throw new Error(`${target} is missing or older than its source: run "npx tsc -b test"`);
  }
  return target;
}

/** Starts a Node child with an IPC channel. It never outlives this process, not even stopped by SIGSTOP. */
export function spawnNode<M = unknown>(script: string | URL, options: SpawnNodeOptions = {}): TestProcess<M> {
  const file = runnable(script);
  const label = options.label ?? file.slice(file.lastIndexOf('/') + 1);
  const env = { ...process.env, ...options.env };
  const alias = env['IOREDIS'] === '5' ? ['--import', pathToFileURL(join(repoRoot, 'tools', 'ioredis-alias.mjs')).href] : [];
  const guarded = spawnGuarded(process.execPath, [...alias, ...(options.execArgv ?? []), file, ...(options.args ?? [])], { env, ipc: true });
  const { child, exited } = guarded;
  const messages: M[] = [];
  const watchers = new Set<() => void>();
  const wake = (): void => { for (const watcher of watchers) watcher(); };
  let printed = '';
  const keep = (chunk: Buffer): void => { printed = (printed + chunk.toString()).slice(-OUTPUT_BYTES); };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  child.on('message', (message) => {
    messages.push(message as M);
    wake();
  });
  let closed = false;
  // 'close' and not 'exit': only then all its output and messages have arrived.
  child.once('close', () => { closed = true; wake(); });
  child.once('error', () => { closed = true; wake(); });

  const running = (): boolean => child.exitCode === null && child.signalCode === null;
  const output = (): string => printed;
  const waitFor = (predicate: (message: M) => boolean, timeoutMs: number, what: string): Promise<M> =>
    new Promise((resolve, reject) => {
      let seen = 0;
      const fail = (why: string): void => {
        done();
        const last = inspect(messages.at(-1), { breakLength: Infinity });
        reject(new Error(`${label} (pid ${child.pid}): ${why} ${what}; ${messages.length} messages, last: ${last}\n--- its output\n${output()}`));
      };
      const check = (): void => {
        for (; seen < messages.length; seen++) {
          const message = messages[seen] as M;
          if (!predicate(message)) continue;
          done();
          return resolve(message);
        }
        if (closed) fail(`ended (${child.signalCode ?? child.exitCode}) before`);
      };
      const timer = setTimeout(() => fail(`waited ${timeoutMs} ms in vain for`), timeoutMs);
      const done = (): void => { clearTimeout(timer); watchers.delete(check); };
      watchers.add(check);
      try {
        check();
      } catch (error) {
        done();
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });

  return {
    pid: child.pid,
    label,
    messages,
    exited,
    get running() { return running(); },
    waitFor: waitFor as TestProcess<M>['waitFor'],
    send: (message) => {
      if (!child.connected) throw new Error(`${label} (pid ${child.pid}) has no IPC channel any more\n${output()}`);
      child.send(message as never);
    },
    signal: (signal) => { if (running()) child.kill(signal); },
    kill: async (signal = 'SIGKILL') => {
      if (running()) child.kill(signal);
      await exited;
    },
    stopProcess: () => { child.kill('SIGSTOP'); },
    continue: () => { child.kill('SIGCONT'); },
    output,
  };
}
