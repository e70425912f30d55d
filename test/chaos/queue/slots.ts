import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterNode, RedisCluster } from '../../support/redis-cluster.js';
import { waitUntil } from '../../support/wait.js';

/** Moves a slot as redis-cli --cluster reshard does it: a few keys at a time, so that for a while it is on both sides. */
export async function moveSlot(cluster: RedisCluster, slot: number, from: ClusterNode, to: ClusterNode): Promise<number> {
  await to.cli('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id);
  await from.cli('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id);
  let moved = 0;
  for (;;) {
    const keys = (await from.cli('CLUSTER', 'GETKEYSINSLOT', slot, 2)) as string[];
    if (keys.length === 0) break;
    // NOKEY: it was deleted meanwhile.
    await from.cli('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...keys);
    moved += keys.length;
  }
  for (const node of [to, from, ...cluster.masters.filter((each) => each !== to && each !== from)]) await node.cli('CLUSTER', 'SETSLOT', slot, 'NODE', to.id);
  return moved;
}

/** How often the masters answered with such an error, by their own count. */
export async function errorsOf(nodes: readonly ClusterNode[], code: string): Promise<number> {
  const texts = await Promise.all(nodes.map((node) => node.cli('INFO', 'errorstats')));
  return texts.reduce<number>((sum, text) => sum + Number(new RegExp(`errorstat_${code}:count=(\\d+)`).exec(String(text))?.[1] ?? 0), 0);
}

export function isMaster(node: ClusterNode): Promise<boolean> {
  return node.cli('INFO', 'replication').then((text) => String(text).includes('role:master'), () => false);
}

/**
 * Kills a primary, waits until a replica has its slots, starts it again as that one's replica. A process that is killed leaves
 * what it has written to its kernel, so its replica is hardly ever behind; `behindMs`: the replica's link was down for so long
 * before, as when a machine or its network goes. @returns ms until the slots were served again
 */
export async function killPrimary(cluster: RedisCluster, victim: ClusterNode, behindMs: number): Promise<number> {
  const replicas = [...String(await victim.cli('INFO', 'replication')).matchAll(/slave\d+:ip=[^,]+,port=(\d+)/g)].map(([, port]) => cluster.nodes.find((node) => node.port === Number(port))!);
  if (behindMs > 0) {
    for (const replica of replicas) {
      await replica.cli('CONFIG', 'SET', 'masterauth', 'refused'); // it cannot come back
      await replica.cli('CLIENT', 'KILL', 'TYPE', 'master');
    }
    await sleep(behindMs);
  }
  const killedAt = performance.now();
  await victim.kill('SIGKILL');
  for (const replica of replicas) await replica.cli('CONFIG', 'SET', 'masterauth', '');
  const others = cluster.nodes.filter((node) => node !== victim);
  await waitUntil(async () => {
    const [masters, state] = await Promise.all([Promise.all(others.map(isMaster)), others[0]!.cli('CLUSTER', 'INFO')]);
    return masters.filter(Boolean).length === cluster.masters.length && String(state).includes('cluster_state:ok');
  }, { what: 'a replica has taken over', timeoutMs: 30_000, intervalMs: 50 });
  const ms = Math.round(performance.now() - killedAt);
  // Not before: with its name and without its data it would be an empty primary.
  await victim.restart({ empty: true });
  await waitUntil(async () => /role:slave[\s\S]*master_link_status:up/.test(String(await victim.cli('INFO', 'replication'))), { what: 'the killed one follows', timeoutMs: 30_000, intervalMs: 50 });
  return ms;
}
