import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { type Reply, redisCommand } from '../../../support/redis-command.js';
import type { RedisServer } from '../../../support/redis-server.js';
import { startTopology, type Topology } from '../../../support/topology.js';
import { type Consumer, startConsumer, type StartOptions } from './consumer.js';
import { type ConnectionOptions, RedisStreamsEngine, type RedisStreamsOptions, type LeaseHandlers } from './engine.js';

/** One Redis (or cluster) of a test file, and everything its tests start on it. */
export class World {
  private readonly engines: RedisStreamsEngine[] = [];
  private readonly cleanups: Array<() => unknown> = [];
  private services = 0;

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

  /** A name nobody used before: tests share the server, not its keys. */
  service(): string {
    return `orders${++this.services}-${process.pid}`;
  }

  /** An engine that this test's end stops. */
  engine(options: RedisStreamsOptions = {}): RedisStreamsEngine {
    const engine = new RedisStreamsEngine({
      connection: this.connection,
      session: { ttlMs: 1_000 },
      shutdown: { drainMs: 500 },
      onError: () => undefined,
      ...options,
    });
    this.engines.push(engine);
    return engine;
  }

  /** An engine with one consumer, started. */
  consumer(service: string, handlers: LeaseHandlers | LeaseHandlers['assigned'], options: StartOptions = {}): Promise<Consumer> {
    return startConsumer((more) => this.engine(more), service, handlers, options);
  }

  onEnd(cleanup: () => unknown): void { this.cleanups.push(cleanup); }

  async clean(): Promise<void> {
    // Before the proxies they speak through.
    await Promise.all(this.engines.splice(0).map((engine) => engine.stop()));
    await Promise.all(this.cleanups.splice(0).map((cleanup) => cleanup()));
  }
}

/** The same suite on every topology named: a standalone server, and a cluster of three masters. */
export function onTopologies(kinds: readonly Topology['kind'][], title: string, suite: (world: () => World) => void): void {
  describe.each(kinds)(`${title} (%s)`, (kind) => {
    let world: World | undefined;
    beforeAll(async () => { world = new World(await startTopology(kind)); });
    afterEach(async () => { await world?.clean(); });
    afterAll(async () => { await world?.topology.stop(); });
    suite(() => {
      if (!world) throw new Error('the world is not there yet');
      return world;
    });
  });
}

export const BOTH = ['standalone', 'cluster'] as const;
