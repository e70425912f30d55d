import type { ConnectionOptions } from 'nestjs-redis-streams/lease';
import { type Faults, startProxy, type TcpProxy } from '../support/tcp-proxy.js';
import type { World } from './world.js';

/** A faulty proxy before each server of a world, and the connection that goes through them. */
export interface Proxies {
  readonly connection: ConnectionOptions;
  setFaults(faults: Faults): void;
  cutAll(): void;
  halfOpenAll(): void;
  blackhole(on: boolean): void;
  /** What really happened to connections so far. */
  cuts(): { cut: number; halfOpened: number; afterWrite: number };
}

export async function startProxies(world: World): Promise<Proxies> {
  const { topology, context } = world;
  const proxies = await Promise.all(topology.servers.map(({ port }, i) => startProxy(port, { seed: context.seed + i })));
  world.onEnd(() => Promise.all(proxies.map((proxy) => proxy.stop())));
  const each = (act: (proxy: TcpProxy) => void): void => proxies.forEach(act);
  return {
    connection: connectionThrough(world, proxies),
    setFaults: (faults) => each((proxy) => proxy.setFaults(faults)),
    cutAll: () => each((proxy) => proxy.cutAll()),
    halfOpenAll: () => each((proxy) => proxy.halfOpenAll()),
    blackhole: (on) => each((proxy) => proxy.blackhole(on)),
    cuts: () => {
      const sum = { cut: 0, halfOpened: 0, afterWrite: 0 };
      each(({ stats: { cuts, halfOpened } }) => {
        sum.cut += cuts.lifetime + cuts.manual + cuts.upstream + cuts.downstream;
        sum.halfOpened += halfOpened;
        sum.afterWrite += cuts.afterWrite;
      });
      return sum;
    },
  };
}

function connectionThrough(world: World, proxies: readonly TcpProxy[]): ConnectionOptions {
  const { topology } = world;
  if (topology.kind === 'standalone') return { url: proxies[0]?.url ?? '' };
  // The nodes name each other by their true ports; the client translates them to the proxies'.
  const natMap = Object.fromEntries(topology.servers.map(({ port }, i) => [`127.0.0.1:${port}`, { host: '127.0.0.1', port: proxies[i]?.port ?? 0 }]));
  return { cluster: { nodes: proxies.map(({ port }) => ({ host: '127.0.0.1', port })), options: { natMap } } };
}
