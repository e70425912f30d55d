import { spawnSync } from 'node:child_process';

export interface ListedProcess { pid: number; state: string; args: string }

export function listProcesses(): ListedProcess[] {
  const { stdout } = spawnSync('ps', ['-A', '-ww', '-o', 'pid=,stat=,args='], { encoding: 'utf8', maxBuffer: 64 << 20 });
  return stdout.split('\n').flatMap((line) => {
    const match = /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line);
    return match ? [{ pid: Number(match[1]), state: match[2] as string, args: match[3] as string }] : [];
  });
}

/** A zombie is dead: in a container nobody may ever reap it. */
export function isAlive(pid: number): boolean {
  return listProcesses().some((process) => process.pid === pid && !process.state.startsWith('Z'));
}

/** The living processes whose command line holds `text`: a temporary folder's name, say. */
export function processesWith(text: string): ListedProcess[] {
  return listProcesses().filter(({ args, state }) => args.includes(text) && !state.startsWith('Z'));
}
