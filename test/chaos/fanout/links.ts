import type { ConnectionOptions } from 'nestjs-redis-streams/fanout';
import { redisCommand } from '../../support/redis-command.js';
import { type Faults, startProxy, type ProxyStats, type TcpProxy } from '../../support/tcp-proxy.js';
import type { Topology } from '../../support/topology.js';
import { WITNESS } from './witness.js';

/** A faulty proxy before each server for one worker alone, so that it is cut off while the others go on. */
export class Links {
  private constructor(private readonly topology: Topology, private readonly proxies: readonly TcpProxy[]) {}

  static async start(topology: Topology, seed: number): Promise<Links> {
    return new Links(topology, await Promise.all(topology.servers.map(({ port }, i) => startProxy(port, { seed: seed + i }))));
  }

  get connection(): ConnectionOptions {
    if (this.topology.kind === 'standalone') return { url: this.proxies[0]!.url };
    // The nodes name each other by their true ports; the client translates them to the proxies'.
    const natMap = Object.fromEntries(this.topology.servers.map(({ port }, i) => [`127.0.0.1:${port}`, { host: '127.0.0.1', port: this.proxies[i]!.port }]));
    return { cluster: { nodes: this.proxies.map(({ port }) => ({ host: '127.0.0.1', port })), options: { natMap } } };
  }

  cut(): void {
    for (const proxy of this.proxies) proxy.cutAll();
  }

  halfOpen(): void {
    for (const proxy of this.proxies) proxy.halfOpenAll();
  }

  blackhole(on: boolean): void {
    for (const proxy of this.proxies) proxy.blackhole(on);
  }

  setFaults(faults: Faults): void {
    for (const proxy of this.proxies) proxy.setFaults(faults);
  }

  /** What happened so far, by proxy. */
  get stats(): readonly ProxyStats[] {
    return this.proxies.map(({ stats }) => stats);
  }

  get cuts(): number {
    return this.proxies.reduce((sum, { stats }) => sum + stats.cuts.manual + stats.halfOpened, 0);
  }

  async stop(): Promise<void> {
    await Promise.all(this.proxies.map((proxy) => proxy.stop()));
  }
}

/** Ends all subscriber connections but the witness's, and none that carries commands. @returns how many */
export async function cutSubscribers({ servers }: Topology): Promise<number> {
  let cut = 0;
  for (const { port } of servers) {
    const list = String(await redisCommand(port, 'CLIENT', 'LIST', 'TYPE', 'pubsub')).split('\n');
    for (const line of list) {
      const id = /^id=(\d+) /.exec(line)?.[1];
      if (id !== undefined && !line.includes(` name=${WITNESS} `)) cut += Number(await redisCommand(port, 'CLIENT', 'KILL', 'ID', id));
    }
  }
  return cut;
}
