import { type RedisCluster, startCluster } from './redis-cluster.js';
import { redisCommands } from './redis-command.js';

/*
 * A node calls a new cluster usable two seconds after its own start, whatever one does. So the suites that a vitest
 * worker runs one after the other take the same cluster in turn. It stays behind globalThis, since every file has its
 * modules to itself, and ends with the worker, by the guards of its servers.
 *   Only for suites that leave the cluster as they found it, apart from its data: whoever moves slots, kills a node or
 * configures it takes one of its own.
 */
const held = Symbol.for('nestjs-redis-streams.test.shared-cluster');
const holder = globalThis as unknown as Record<symbol, Promise<RedisCluster> | undefined>;
let taken = false;

/** Three masters without data, scripts or counts. One at a time: `giveBack` comes before the next. */
export async function takeSharedCluster(): Promise<{ cluster: RedisCluster; giveBack(): void }> {
  if (taken) throw new Error('The shared cluster is in use: a second one at the same time must be started');
  taken = true;
  try {
    let cluster = await (holder[held] ??= startCluster({ masters: 3, replicas: 1 }));
    if (!(await emptied(cluster))) {
      await cluster.stop();
      cluster = await (holder[held] = startCluster({ masters: 3, replicas: 1 }));
    }
    return { cluster, giveBack: () => { taken = false; } };
  } catch (error) {
    holder[held] = undefined;
    taken = false;
    throw error;
  }
}

/** @returns false when somebody broke it */
async function emptied(cluster: RedisCluster): Promise<boolean> {
  try {
    await cluster.settled(1_000);
    await Promise.all(cluster.masters.map(({ port }) => redisCommands(port, [['FLUSHALL'], ['SCRIPT', 'FLUSH'], ['CONFIG', 'RESETSTAT']])));
    return true;
  } catch {
    return false;
  }
}
