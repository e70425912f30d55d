import { type ChildProcess, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';

/*
 * Ends the command when this process is gone, however it went: nobody can handle a SIGKILL, but the kernel closes
 * the pipes of whoever got one. A subshell waits on such a pipe and kills the command, stopped or not, when it ends.
 * `exec` keeps the pid, so the command's pid is the child's. When the command ends first, a line tells the subshell
 * to go without a kill: over a descriptor of its own, since Node destroys a child's stdin before it says that the
 * child has ended, and the pid may be somebody else's by then. 3 is the IPC channel.
 */
const GUARD_FD = 4;
const GUARD = `( trap '' INT TERM HUP QUIT
  read -r line <&4 || kill -9 $$
) 3<&- >/dev/null 2>&1 </dev/null &
exec "$@" 4<&-`;

export interface Launched {
  readonly child: ChildProcess;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/** A child in a process group of its own (Ctrl-C is the supervisor's to handle), which never outlives this process. */
export function launch(command: string, args: readonly string[], env: NodeJS.ProcessEnv, ipc: boolean): Launched {
  const stdio: Array<'pipe' | 'ipc' | 'ignore'> = ['ignore', 'pipe', 'pipe', ipc ? 'ipc' : 'ignore', 'pipe'];
  // Windows has no such shell; there a role ends by itself when its IPC channel closes.
  const child = process.platform === 'win32'
    ? spawn(command, args, { env, stdio })
    : spawn('/bin/sh', ['-c', GUARD, 'guard', command, ...args], { env, stdio, detached: true });
  const guard = child.stdio[GUARD_FD] as Writable | undefined;
  guard?.on('error', () => undefined);
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('error', () => resolve({ code: 127, signal: null }));
    child.once('exit', (code, signal) => {
      guard?.end('done\n');
      resolve({ code, signal });
    });
  });
  return { child, exited };
}
