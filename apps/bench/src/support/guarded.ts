import { spawn, type ChildProcess } from 'node:child_process';
import type { Writable } from 'node:stream';

export interface Guarded {
  readonly child: ChildProcess & { readonly pid: number };
  readonly exited: Promise<string>;
  /** SIGKILL, then waits for the end. */
  kill(): Promise<void>;
}

/*
 * Ends the command when this process is gone, however it went: a SIGKILLed bench runs no handler, but the kernel
 * closes its pipes, and a subshell waits on one. `$$` is the outer shell, which becomes the command by `exec`, so
 * there is no unguarded moment. Descriptor 4 is the guard's own, since Node destroys a child's stdin before it says
 * that the child has ended, and the pid may be somebody else's by then; 3 is IPC.
 */
const GUARD_FD = 4;
const SCRIPT = `( trap '' INT TERM HUP QUIT
  read -r line <&4 || { kill -9 $$; [ -z "$GUARD_REMOVE_DIR" ] || { sleep 0.2; rm -rf "$GUARD_REMOVE_DIR"; }; }
) 3<&- >/dev/null 2>&1 </dev/null &
exec "$@" 4<&-`;

/** Starts a command that cannot outlive this process. Its stderr is ours; with `ipc` it has a message channel. */
export function spawnGuarded(command: string, args: readonly string[], options: { env?: NodeJS.ProcessEnv; ipc?: boolean; removeDir?: string } = {}): Guarded {
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'guard', command, ...args], {
    env: { ...process.env, ...options.env, GUARD_REMOVE_DIR: options.removeDir ?? '' },
    stdio: options.ipc ? ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'] : ['ignore', 'ignore', 'inherit', 'ignore', 'pipe'],
    // Ctrl-C is for the bench, which then ends its children.
    detached: true,
  });
  const guard = child.stdio[GUARD_FD] as Writable | undefined;
  guard?.on('error', () => undefined);
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => {
      guard?.end('done\n'); // go without a kill
      resolve(`ended with ${signal ?? code}`);
    });
  });
  return {
    child: child as Guarded['child'],
    exited,
    kill: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exited;
    },
  };
}
