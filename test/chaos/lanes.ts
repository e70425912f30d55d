import { fileURLToPath } from 'node:url';
import { spawnGuarded } from '../support/guarded-spawn.js';
import type { Result } from './scenario.js';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));

export interface RunOptions {
  readonly seed: number;
  readonly topology: string;
  readonly short: boolean;
  readonly seconds: number | undefined;
}

/**
 * Plays scenarios in so many lanes: each in a process of its own, with its own servers, so that none is held up by what another
 * makes of its event loop. Mostly they wait, for deadlines and for servers to start. What one prints appears when it has ended.
 */
export async function inLanes(names: readonly string[], lanes: number, options: RunOptions): Promise<Result[]> {
  const waiting = names.entries();
  const results: Result[] = [];
  const lane = async (): Promise<void> => {
    for (const [i, name] of waiting) results[i] = await playAlone(name, options);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}

async function playAlone(name: string, { seed, topology, short, seconds }: RunOptions): Promise<Result> {
  const startedAt = performance.now();
  const args = [MAIN, name, '--seed', String(seed), '--topology', topology, ...(short ? ['--short'] : []), ...(seconds === undefined ? [] : ['--seconds', String(seconds)])];
  const { child, exited } = spawnGuarded(process.execPath, args, { ipc: true });
  const printed: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => printed.push(chunk));
  let result: Result | undefined;
  child.on('message', (message) => ([result] = message as Result[]));
  // Only then everything it printed and sent has arrived.
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const [{ code, signal }] = await Promise.all([exited, closed]);
  process.stdout.write(Buffer.concat(printed));
  const breach = `its process ended with ${signal ?? `code ${code}`} before it had told how it went`;
  return result ?? { scenario: name, seed, topology, ok: false, durationMs: Math.round(performance.now() - startedAt), verdict: {}, breaches: [breach] };
}
