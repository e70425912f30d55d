import { type RedisCluster, startCluster } from './redis-cluster.js';
import { type RedisServer, startRedis } from './redis-server.js';

export type Topology =
  | { readonly kind: 'standalone'; readonly server: RedisServer; readonly servers: readonly RedisServer[]; stop(): Promise<void> }
  | { readonly kind: 'cluster'; readonly cluster: RedisCluster; readonly servers: readonly RedisServer[]; stop(): Promise<void> };

/** What a suite runs against, so that the same suite runs on both. */
export async function startTopology(kind: Topology['kind']): Promise<Topology> {
  switch (kind) {
    case 'standalone': {
      const server = await startRedis();
      return { kind, server, servers: [server], stop: () => server.stop() };
    }
    case 'cluster': {
      const cluster = await startCluster({ masters: 3 });
      return { kind, cluster, servers: cluster.masters, stop: () => cluster.stop() };
    }
  }
}
