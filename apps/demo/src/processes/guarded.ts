import { type ChildProcess, spawn } from 'node:child_process';

/*
 * Ends the command when this process is gone, however it went: nobody can handle a SIGKILL, but the kernel closes
 * the pipes of whoever got one. A subshell waits on such a pipe and kills the command, stopped or not, when it ends.
 * `exec` keeps the pid, so the command's pid is the child's. When the command ends first, a line tells the subshell
 * to go without a kill. Descriptor 9, because a background job's stdin is /dev/null; 3 is the IPC channel.
 */
const GUARD = `exec 9<&0
( trap '' INT TERM HUP QUIT
  read -r line <&9 || kill -9 $$
) 3<&- >/dev/null 2>&1 &
exec "$@" 9<&- </dev/null`;

export interface Launched {
  readonly child: ChildProcess;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/** A child in a process group of its own (Ctrl-C is the supervisor's to handle), which never outlives this process. */
export function launch(command: string, args: readonly string[], env: NodeJS.ProcessEnv, ipc: boolean): Launched {
  const stdio: Array<'pipe' | 'ipc'> = ipc ? ['pipe', 'pipe', 'pipe', 'ipc'] : ['pipe', 'pipe', 'pipe'];
  // Windows has no such shell; there a role ends by itself when its IPC channel closes.
  const child = process.platform === 'win32'
    ? spawn(command, args, { env, stdio })
    : spawn('/bin/sh', ['-c', GUARD, 'guard', command, ...args], { env, stdio, detached: true });
  child.stdin?.on('error', () => undefined);
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('error', () => resolve({ code: 127, signal: null }));
    child.once('exit', (code, signal) => {
      child.stdin?.end('done\n');
      resolve({ code, signal });
    });
  });
  return { child, exited };
}
