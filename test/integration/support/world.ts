import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { type Reply, redisCommand } from '../../support/redis-command.js';
import type { RedisServer } from '../../support/redis-server.js';
import { startTopology, takeTopology, type Topology } from '../../support/topology.js';
import { type ConnectionOptions, RedisStreamsEngine, type RedisStreamsOptions } from './engine.js';

/** What the engines of the tests are set to unless a test says otherwise; `connection` comes from the world. */
export const QUICK: RedisStreamsOptions = { session: { ttlMs: 1_000 }, shutdown: { drainMs: 500 } };

/** One Redis (or cluster) of a suite, and everything its tests start on it. A capability adds its own words to it. */
export class World {
  private readonly engines: RedisStreamsEngine[] = [];
  private readonly cleanups: Array<() => unknown> = [];
  private names = 0;

  constructor(readonly topology: Topology) {}

  get kind(): Topology['kind'] { return this.topology.kind; }

  get connection(): ConnectionOptions {
    return this.topology.kind === 'standalone'
      ? { url: this.topology.server.url }
      : { cluster: { nodes: [...this.topology.cluster.startupNodes] } };
  }

  /** The server that serves this key. */
  async serverOf(key: string): Promise<RedisServer> {
    return this.topology.kind === 'standalone' ? this.topology.server : this.topology.cluster.nodeFor(key);
  }

  /** A command on the server that serves `args[1]`, or the key given. */
  async cli(args: readonly (string | number)[], key = String(args[1])): Promise<Reply> {
    return redisCommand((await this.serverOf(key)).port, ...args);
  }

  async everywhere(...args: (string | number)[]): Promise<Reply[]> {
    return Promise.all(this.topology.servers.map((server) => server.cli(...args)));
  }

  /** Every key on every server. */
  async allKeys(): Promise<string[]> {
    return ((await this.everywhere('KEYS', '*')) as string[][]).flat().sort();
  }

  /** A name nobody used before: tests share the server, not its keys. */
  fresh(prefix: string): string {
    return `${prefix}${++this.names}-${process.pid}`;
  }

  /** An engine that this test's end stops. */
  engine(options: RedisStreamsOptions = {}): RedisStreamsEngine {
    const engine = new RedisStreamsEngine({ ...QUICK, connection: this.connection, onError: () => undefined, ...options });
    this.engines.push(engine);
    return engine;
  }

  onEnd(cleanup: () => unknown): void { this.cleanups.push(cleanup); }

  async clean(): Promise<void> {
    // Before the proxies they speak through.
    await Promise.all(this.engines.splice(0).map((engine) => engine.stop()));
    await Promise.all(this.cleanups.splice(0).map((cleanup) => cleanup()));
  }
}

export const BOTH = ['standalone', 'cluster'] as const;

export interface SuiteOptions {
  /** Servers that only this suite has: needed where it does more to them than write data. Default: false. */
  readonly own?: boolean;
}

export type OnTopologies<W> = (kinds: readonly Topology['kind'][], title: string, suite: (world: () => W) => void, options?: SuiteOptions) => void;

/** Makes the function that declares one suite on every topology named: a standalone server, and a cluster of three masters. */
export function topologiesOf<W extends World>(make: (topology: Topology) => W): OnTopologies<W> {
  return (kinds, title, suite, { own = false } = {}) => {
    describe.each(kinds)(`${title} (%s)`, (kind) => {
      let world: W | undefined;
      beforeAll(async () => { world = make(await (own ? startTopology : takeTopology)(kind)); });
      afterEach(async () => { await world?.clean(); });
      afterAll(async () => { await world?.topology.stop(); });
      suite(() => {
        if (!world) throw new Error('the world is not there yet');
        return world;
      });
    });
  };
}
