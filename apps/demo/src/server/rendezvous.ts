import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { reach } from './reach.js';

/** Where a running demo says which server it uses, so that a consumer started in another terminal finds it. */
const FILE = join(tmpdir(), `nestjs-redis-streams-demo-${userInfo().uid}.json`);

export interface Meeting {
  readonly pid: number;
  readonly url: string;
  readonly service: string;
}

/** Leaves the note for as long as this process lives. A note that a killed process left is not believed. */
export function publish(meeting: Omit<Meeting, 'pid'>): void {
  const note: Meeting = { pid: process.pid, ...meeting };
  try {
    rmSync(FILE, { force: true }); // and never write through somebody's link
    writeFileSync(FILE, JSON.stringify(note), { mode: 0o600, flag: 'wx' });
  } catch {
    return; // a courtesy to other terminals, nothing more
  }
  process.once('exit', () => {
    if (read()?.pid === process.pid) rmSync(FILE, { force: true });
  });
}

/** The demo that runs on this machine, if one does and its server answers. */
export async function running(): Promise<Meeting | undefined> {
  const note = read();
  return note && alive(note.pid) && (await reach(note.url, 0)) === undefined ? note : undefined;
}

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function read(): Meeting | undefined {
  try {
    const note = JSON.parse(readFileSync(FILE, 'utf8')) as Partial<Meeting>;
    return note.pid && note.url && note.service ? (note as Meeting) : undefined;
  } catch {
    return undefined;
  }
}
