import { waitUntil } from '../../../support/wait.js';
import { keysOf } from './keys.js';
import type { World } from './world.js';

export interface Letter { readonly shard: number; readonly fields: Record<string, string> }

/** Dead letters of a queue, shard by shard, oldest first. */
export async function lettersOf(world: World, queue: string, shards = world.shards): Promise<Letter[]> {
  const letters: Letter[] = [];
  for (let shard = 0; shard < shards; shard++) {
    const rows = (await world.cli(['XRANGE', keysOf(queue, { shards, shard }).dead, '-', '+'])) as [string, string[]][];
    for (const [, flat] of rows) letters.push({ shard, fields: pairs(flat) });
  }
  return letters;
}

/** A group's consumers, as Redis knows them, with what they hold. */
export async function pendingOf(world: World, queue: string, { shards = 1, shard = 0, group = 'default' } = {}): Promise<Record<string, number>> {
  const { messages } = keysOf(queue, { shards, shard });
  const rows = (await world.cli(['XINFO', 'CONSUMERS', messages, group], messages)) as string[][];
  return Object.fromEntries(rows.map(pairs).map(({ name, pending }) => [name, Number(pending)]));
}

/** Waits until nothing is left of the queue: nothing stored, held, waiting to be repeated, or remembered about attempts. */
export async function drained(world: World, queue: string, { shards = world.shards, groups = ['default'], timeoutMs = 20_000 }: { shards?: number; groups?: readonly string[]; timeoutMs?: number } = {}): Promise<void> {
  await waitUntil(async () => {
    for (let shard = 0; shard < shards; shard++) {
      for (const group of groups) {
        const { messages, delayed, retries, attempts } = keysOf(queue, { shards, shard, group });
        for (const args of [['XLEN', messages], ['ZCARD', delayed], ['ZCARD', retries], ['HLEN', attempts]] as const) {
          if ((await world.cli(args)) !== 0) throw new Error(`${args.join(' ')} in shard ${shard}: ${JSON.stringify(await world.cli(args))}`);
        }
        if (Number(await world.cli(['EXISTS', messages])) === 0) continue;
        const held = await pendingOf(world, queue, { shards, shard, group });
        if (Object.values(held).some((count) => count > 0)) throw new Error(`held in shard ${shard} by ${group}: ${JSON.stringify(held)}`);
      }
    }
    return true;
  }, { what: `nothing is left of ${queue}`, timeoutMs, intervalMs: 15 });
}

function pairs(flat: readonly string[]): Record<string, string> {
  return Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [String(flat[2 * i]), flat[2 * i + 1]!]));
}

/**
 * A consumer that has been given everything there is and is never heard of again. @returns how it dies, which is at once: what
 * it held may be taken from then on
 */
export async function ghost(world: World, queue: string, { group = 'default', begun = false } = {}): Promise<() => Promise<void>> {
  const { messages, sessions, attempts } = keysOf(queue, { group });
  await world.cli(['XGROUP', 'CREATE', messages, group, '0', 'MKSTREAM'], messages);
  await world.cli(['ZADD', sessions, Date.now() + 60_000, 'ghost:1']);
  const reply = (await world.cli(['XREADGROUP', 'GROUP', group, 'ghost:1', 'STREAMS', messages, '>'], messages)) as [string, [string, string[]][]][];
  if (begun) for (const [id] of reply[0]![1]) await world.cli(['HSET', attempts, id, '0 0 1']);
  return async () => void (await world.cli(['ZADD', sessions, 1, 'ghost:1']));
}
