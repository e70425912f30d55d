import type { QueueShardKeys } from '../keys/queue-keys.js';
import type { RedisConnection } from '../redis/connection.js';
import type { QueueStats } from './handler-types.js';

/** Messages are read in whole to learn their ids. */
const REMOVE_PAGE = 100;

type ShardState = [messages: number, waiting: number, pending: number, retrying: number, delayed: number, dead: number, consumers: number, paused: number, oldestMs: number, ...groups: string[]];

export async function statsOf(redis: RedisConnection, queue: string, shards: readonly QueueShardKeys[], group: string): Promise<QueueStats> {
  const states = (await Promise.all(
    shards.map((keys) => {
      const { sessions, retries, control } = keys.group(group);
      return redis.scripts.run('queue-state', [keys.messages, sessions, retries, keys.delayed, keys.dead, control], [group]);
    }),
  )) as ShardState[];
  const sum = (of: (state: ShardState) => number): number => states.reduce((total, state) => total + Number(of(state)), 0);
  const ages = states.map((state) => Number(state[8])).filter((age) => age >= 0);
  return {
    queue,
    group,
    messages: sum(([messages]) => messages),
    waiting: states.some((state) => Number(state[1]) < 0) ? -1 : sum((state) => state[1]),
    pending: sum((state) => state[2]),
    retrying: sum((state) => state[3]),
    delayed: sum((state) => state[4]),
    deadLetters: sum((state) => state[5]),
    // A consumer is in every shard.
    consumers: Math.max(0, ...states.map((state) => Number(state[6]))),
    paused: states.some((state) => Number(state[7]) === 1),
    oldestMs: ages.length > 0 ? Math.max(...ages) : undefined,
    groups: [...new Set(states.flatMap((state) => state.slice(9).map(String)))].sort(),
  };
}

export async function setPaused(redis: RedisConnection, keys: QueueShardKeys, group: string, paused: boolean): Promise<void> {
  await redis.commands.call(paused ? 'HSET' : 'HDEL', paused ? [keys.group(group).control, 'paused', '1'] : [keys.group(group).control, 'paused']);
  await redis.commands.call('PUBLISH', [keys.bell, 'look']);
}

/** What only it kept goes with it. */
export async function removeGroup(redis: RedisConnection, keys: QueueShardKeys, group: string): Promise<void> {
  const { sessions, members, names, retries, attempts, control, handlers } = keys.group(group);
  for (let from = '-'; from !== ''; ) {
    from = (await redis.scripts.run('queue-remove', [keys.messages, sessions, members, names, retries, attempts, control, handlers], [group, from, REMOVE_PAGE])) as string;
  }
}
