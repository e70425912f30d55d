import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

export interface GuardedOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  ipc?: boolean;
  /** A folder made with mkdtemp that the guard removes when it had to end the process. */
  removeDir?: string;
}

export interface GuardedProcess {
  /** Its pid is the command's own: the shell replaces itself with it. */
  readonly child: ChildProcess & { stdout: Readable; stderr: Readable; pid: number };
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/*
 * Ends the command when this process is gone, however it went. A SIGKILLed process can run no exit handler,
 * but the kernel closes its pipes: the guard, a subshell, waits on one.
 *   $$ in the subshell is the pid of the outer shell, which `exec` then hands to the command, so there is no
 * moment at which the command runs unguarded. When the command ends first we write a line and the guard goes
 * without a kill, so that it never hits a reused pid. It ignores what Ctrl-C sends to the terminal's group.
 *   Descriptor 4 is the guard's; 3 is the IPC channel. Not stdin: Node destroys a child's stdin before it emits
 * `exit`, so the line would never arrive, and the guard would kill a pid that is free by then and remove the
 * folder of a server that is just being started again.
 */
const GUARD_FD = 4;
const SCRIPT = `( trap '' INT TERM HUP QUIT
  read -r line <&4 || { kill -9 $$; [ -z "$GUARD_REMOVE_DIR" ] || { sleep 0.2; rm -rf "$GUARD_REMOVE_DIR"; }; }
) 3<&- >/dev/null 2>&1 </dev/null &
exec "$@" 4<&-`;

export function spawnGuarded(command: string, args: readonly string[], options: GuardedOptions = {}): GuardedProcess {
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'guard', command, ...args], {
    cwd: options.cwd,
    env: { ...(options.env ?? process.env), GUARD_REMOVE_DIR: options.removeDir ?? '' },
    stdio: ['ignore', 'pipe', 'pipe', options.ipc ? 'ipc' : 'ignore', 'pipe'],
    // A group of its own: Ctrl-C reaches the test process, which decides what happens to its children.
    detached: true,
  });
  const guard = child.stdio[GUARD_FD] as Writable;
  guard.on('error', () => undefined);
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      guard.end('done\n');
      resolve({ code, signal });
    });
  });
  exited.catch(() => undefined);
  return { child: child as GuardedProcess['child'], exited };
}

/** Lets the process end although the child still runs (the guard then ends the child). */
export function unrefChild({ child }: GuardedProcess): void {
  child.unref();
  for (const stream of [child.stdio[GUARD_FD], child.stdout, child.stderr]) (stream as unknown as { unref?(): void })?.unref?.();
}
