import { shardTags } from '../../../../libs/redis-streams/dist/kernel/shard-tags.js';
import { slotOf } from '../../../../libs/redis-streams/dist/redis/slot.js';
import type { World } from './world.js';

/** The names a queue's keys are documented to have: spelled out here, so that renaming one breaks a test. */
export function keysOf(queue: string, { shards = 1, shard = 0, group = 'default' }: { shards?: number; shard?: number; group?: string } = {}) {
  const tag = shardTags(`queue:${queue}`, shards, slotOf)[shard]!;
  const own = (name: string): string => `{${tag}}:${name}`;
  return {
    registration: `{queue:${queue}}:queue`,
    messages: own('messages'), delayed: own('delayed'), ids: own('ids'), origins: own('origins'), dead: own('dead'), bell: own('bell'), producers: own('producer:*'),
    sessions: own(`sessions:${group}`), members: own(`members:${group}`), names: own(`names:${group}`), retries: own(`retries:${group}`), attempts: own(`attempts:${group}`), control: own(`control:${group}`),
  };
}

export interface Stored { readonly shard: number; readonly id: string; readonly fields: Record<string, string> }

/** What a queue holds, shard by shard, oldest first. */
export async function storedIn(world: Pick<World, 'cli' | 'shards'>, queue: string, shards = world.shards): Promise<Stored[]> {
  const stored: Stored[] = [];
  for (let shard = 0; shard < shards; shard++) {
    const rows = (await world.cli(['XRANGE', keysOf(queue, { shards, shard }).messages, '-', '+'])) as [string, string[]][];
    for (const [id, flat] of rows) stored.push({ shard, id, fields: Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!])) });
  }
  return stored;
}

/** A message that waits for its time, as the documents say it is kept. */
export function readDelayed(member: string): { name: string; key: string; headers: string; id: string; data: string } {
  const bytes = Buffer.from(member);
  const at = bytes.indexOf('\n');
  const [name, ...lengths] = bytes.subarray(0, at).toString().split(' ') as [string, string, string, string];
  let from = at + 1;
  const [key, headers, id] = lengths.map((length) => bytes.subarray(from, (from += Number(length))).toString()) as [string, string, string];
  return { name, key, headers, id, data: bytes.subarray(from).toString() };
}
