import { waitUntil } from './wait.js';

/** A replica has acknowledged all that was written before this call. Not WAIT, which speaks of what its own connection wrote. */
export async function hasEverything(master: { cli(...args: Array<string | number>): Promise<unknown> }): Promise<void> {
  const offset = /master_repl_offset:(\d+)/.exec(String(await master.cli('INFO', 'replication')))![1]!;
  await waitUntil(async () => Number(/slave0:.*offset=(\d+)/.exec(String(await master.cli('INFO', 'replication')))?.[1] ?? 0) >= Number(offset), { what: 'the replica has everything', timeoutMs: 20_000 });
}
