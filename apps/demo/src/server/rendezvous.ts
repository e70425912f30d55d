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

/** @returns a function that takes the note away again, if it is still ours. */
export function publish(meeting: Omit<Meeting, 'pid'>): () => void {
  const note: Meeting = { pid: process.pid, ...meeting };
  try {
    rmSync(FILE, { force: true }); // and never write through somebody's link
    writeFileSync(FILE, JSON.stringify(note), { mode: 0o600, flag: 'wx' });
  } catch {
    return () => undefined; // a courtesy to other terminals, nothing more
  }
  return () => {
    if (read()?.pid === process.pid) rmSync(FILE, { force: true });
  };
}

/** The demo that runs on this machine, if one does and its server answers. */
export async function running(): Promise<Meeting | undefined> {
  const note = read();
  return note && (await reach(note.url, 0)) === undefined ? note : undefined;
}

function read(): Meeting | undefined {
  try {
    const note = JSON.parse(readFileSync(FILE, 'utf8')) as Partial<Meeting>;
    return note.pid && note.url && note.service ? (note as Meeting) : undefined;
  } catch {
    return undefined;
  }
}
