import { type RedisCluster, startCluster } from './redis-cluster.js';
import { type RedisServer, startRedis } from './redis-server.js';
import { takeSharedCluster } from './shared-cluster.js';

export type Topology =
  | { readonly kind: 'standalone'; readonly server: RedisServer; readonly servers: readonly RedisServer[]; stop(): Promise<void> }
  | { readonly kind: 'cluster'; readonly cluster: RedisCluster; readonly servers: readonly RedisServer[]; stop(): Promise<void> };

/** What a suite runs against, so that the same suite runs on both. */
export async function startTopology(kind: Topology['kind']): Promise<Topology> {
  switch (kind) {
    case 'standalone': return standalone();
    case 'cluster': {
      const cluster = await startCluster({ masters: 3, replicas: 1 });
      return { kind, cluster, servers: cluster.masters, stop: () => cluster.stop() };
    }
  }
}

/** The same, empty but not necessarily new: for whoever changes nothing but data. Ends with `stop`, one at a time. */
export async function takeTopology(kind: Topology['kind']): Promise<Topology> {
  switch (kind) {
    case 'standalone': return standalone(); // new within milliseconds
    case 'cluster': {
      const { cluster, giveBack } = await takeSharedCluster();
      return { kind, cluster, servers: cluster.masters, stop: () => Promise.resolve(giveBack()) };
    }
  }
}

async function standalone(): Promise<Topology> {
  const server = await startRedis();
  return { kind: 'standalone', server, servers: [server], stop: () => server.stop() };
}
