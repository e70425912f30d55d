import { createServer } from 'node:net';
import { freePort } from './free-port.js';
import { createRng } from './seed.js';
import { ProxyConnection } from './tcp-connection.js';
import { type Faults, newStats, type ProxyStats } from './tcp-faults.js';

export type { Faults, ProxyStats } from './tcp-faults.js';

export interface TcpProxy {
  readonly port: number;
  readonly url: string;
  /** What really happened so far; a test of a fault asserts on it. */
  readonly stats: ProxyStats;
  /** Replaces all faults, also for the connections that exist; `{}` ends them. */
  setFaults(faults: Faults): void;
  cutAll(): void;
  /**
   * On: every connection, old and new, is accepted, swallows everything, never answers, never closes.
   * Off: connections that lost bytes are cut, the others go on.
   */
  blackhole(on: boolean): void;
  /** Existing connections lose their server without being told; new ones work. */
  halfOpenAll(): void;
  stop(): Promise<void>;
}

/** A TCP proxy that breaks connections on purpose. The same seed draws the same faults per connection. */
export async function startProxy(targetPort: number, { seed = 1, port }: { seed?: number; port?: number } = {}): Promise<TcpProxy> {
  const rng = createRng(seed);
  const stats = newStats();
  const connections = new Set<ProxyConnection>();
  let faults: Faults = {};
  let swallowing = false;
  // allowHalfOpen: in a black hole even the client's FIN gets no answer.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    stats.connections++;
    stats.open++;
    const connection: ProxyConnection = new ProxyConnection(client, targetPort, faults, rng.fork(), stats, () => {
      stats.open--;
      connections.delete(connection);
    }, swallowing);
    connections.add(connection);
  });
  const listen = (on: number): Promise<void> => new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(on, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
  let bound = port ?? (await freePort());
  for (let attempt = 1; !server.listening; attempt++) {
    try {
      await listen(bound);
    } catch (error) {
      if (port !== undefined || attempt >= 10) throw error;
      bound = await freePort();
    }
  }
  const each = (act: (connection: ProxyConnection) => void): void => { for (const connection of connections) act(connection); };
  return {
    port: bound,
    url: `redis://127.0.0.1:${bound}`,
    stats,
    setFaults: (next) => {
      faults = next;
      each((connection) => connection.apply(next));
    },
    cutAll: () => each((connection) => connection.cut('manual')),
    blackhole: (on) => {
      swallowing = on;
      each((connection) => { if (on) connection.swallow(); else connection.unswallow(); });
    },
    halfOpenAll: () => each((connection) => connection.halfOpen()),
    stop: async () => {
      const closed = new Promise<void>((resolve) => { server.close(() => resolve()); });
      each((connection) => connection.cut('manual'));
      await closed;
    },
  };
}
