import { groupKeys, LUA } from '../library.js';
import { GROUP, STREAM, type PartitionWorld } from './world.js';

export interface Held { readonly partition: number; readonly token: string }

export interface ZombieTally { tried: number; readonly accepted: string[] }

const GROUP_KEYS = ['sessions', 'members', 'names', 'roster', 'away', 'group', 'target', 'owners'] as const;

/** What the server says that a session owns. */
export async function heldBy(world: PartitionWorld, session: string): Promise<Held[]> {
  const owners = (await world.server.cli('HGETALL', groupKeys(STREAM, GROUP).owners)) as string[];
  const held: Held[] = [];
  for (let i = 0; i + 1 < owners.length; i += 2) {
    const [owner, token] = owners[i + 1]!.split(' ');
    if (owner === session) held.push({ partition: Number(owners[i]), token: token! });
  }
  return held;
}

/**
 * What a paused owner without any fence of its own would send when it wakes up: heartbeat, look at the group, opening
 * its partitions anew and, worst, a commit up to the very end of each. Only the server can refuse these. Sent for a session past its
 * deadline, and for partitions that another owner has opened since.
 */
export async function probe(world: PartitionWorld, session: string, name: string, held: readonly Held[], tally: ZombieTally): Promise<void> {
  const keys = groupKeys(STREAM, GROUP);
  const deadline = (await world.server.cli('ZSCORE', keys.sessions, session)) as string | null;
  if (deadline !== null && Number(deadline) >= world.now() - 5) return;
  const attempt = (what: string, reply: unknown, refused: string): void => {
    tally.tried++;
    const said = String((reply as string[])[0]);
    if (said !== refused) tally.accepted.push(`${what}: ${said}`);
  };
  const heartbeat = (await world.server.cli('EVAL', LUA['heartbeat'] ?? '', 2, keys.sessions, keys.names, session, name, world.options.ttlMs)) as string[];
  tally.tried++;
  if (heartbeat[0] === 'LIVE') tally.accepted.push(`a heartbeat of ${session}`);
  const sync = await world.server.cli('EVAL', LUA['partition-sync'] ?? '', GROUP_KEYS.length, ...GROUP_KEYS.map((key) => keys[key]), session, name, keys.bell, '', 1_000, 0, 0);
  attempt(`a look at the group by ${session}`, sync, 'LOST');
  for (const { partition, token } of held) {
    const { keys: shard, server } = await world.shardOf(partition);
    const position = (await server.cli('HGET', shard.positions(GROUP), partition)) as string | null;
    if (position === null || Number(position.split(' ')[0]) <= Number(token)) continue; // nobody has opened it since
    const stream = shard.partition(partition);
    attempt(`opening ${partition} with token ${token}`, await server.cli('EVAL', LUA['partition-open'] ?? '', 3, stream, shard.positions(GROUP), shard.dropped, GROUP, partition, token, 0, '0-0'), 'FENCED');
    const [end] = (await server.cli('XREVRANGE', stream, '+', '-', 'COUNT', 1)) as Array<[string, string[]]>;
    if (!end) continue;
    const commit = [partition, token, 2 ** 40, end[0], -1, '-', '', '', '-', 0, '', 0];
    attempt(`a commit of ${partition} with token ${token}`, await server.cli('EVAL', LUA['partition-commit'] ?? '', 4, shard.positions(GROUP), shard.dead(GROUP), shard.dropped, stream, GROUP, 0, ...commit), 'FENCED');
  }
}
