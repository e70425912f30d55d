import { fileURLToPath } from 'node:url';
import { spawnGuarded } from './guarded.js';

export type WorkerOptions = Readonly<Record<string, string | number | boolean>>;

export interface Message {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** A process of its own that plays one role of a bench. */
export interface Worker {
  send(message: Message): void;
  /** The first message of that type from now on; rejects when the process ends before. */
  next(type: string): Promise<Message>;
  on(type: string, listener: (message: Message) => void): void;
  kill(): Promise<void>;
}

const SCRIPT = fileURLToPath(new URL('../worker.js', import.meta.url));

/** @returns when the worker has said `ready`. */
export async function startWorker(role: string, url: string, options: WorkerOptions = {}): Promise<Worker> {
  const guarded = spawnGuarded(process.execPath, ['--expose-gc', ...(process.env['BENCH_NODE_ARGS']?.split(' ') ?? []), SCRIPT], {
    ipc: true,
    env: { BENCH_WORKER: JSON.stringify({ role, url, options }) },
  });
  const listeners = new Map<string, Set<(message: Message) => void>>();
  guarded.child.on('message', (raw) => {
    const message = raw as Message;
    for (const listener of listeners.get(message.type) ?? []) listener(message);
  });
  const on = (type: string, listener: (message: Message) => void): void => {
    listeners.set(type, (listeners.get(type) ?? new Set()).add(listener));
  };
  const next = (type: string): Promise<Message> =>
    new Promise((resolve, reject) => {
      const listener = (message: Message): void => {
        listeners.get(type)?.delete(listener);
        resolve(message);
      };
      on(type, listener);
      void guarded.exited.then((how) => reject(new Error(`worker "${role}" ${how} before it said "${type}"`)));
    });
  const worker: Worker = { next, on, send: (message) => void guarded.child.send(message), kill: guarded.kill };
  await next('ready');
  return worker;
}
