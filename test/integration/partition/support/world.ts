import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { type Reply, redisCommand } from '../../../support/redis-command.js';
import type { RedisServer } from '../../../support/redis-server.js';
import { startTopology, type Topology } from '../../../support/topology.js';
import { type Consumer, startConsumer, type StartOptions } from './consumer.js';
import {
  type ConnectionOptions, type PartitionClient, type PartitionHandlers, RedisStreamsEngine, type RedisStreamsOptions, type StreamRegistration,
} from './engine.js';

export type Registration = Omit<StreamRegistration, 'name'>;

/** One Redis (or cluster) of a test file, and everything its tests start on it. */
export class World {
  private readonly engines: RedisStreamsEngine[] = [];
  private readonly cleanups: Array<() => unknown> = [];
  private sender: RedisStreamsEngine | undefined;
  private streams = 0;

  constructor(readonly topology: Topology) {}

  get kind(): Topology['kind'] { return this.topology.kind; }

  /** What streams are spread over here, unless a test says otherwise: one part per master. */
  get shards(): number { return this.kind === 'cluster' ? 3 : 1; }

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
  name(): string {
    return `payments${++this.streams}-${process.pid}`;
  }

  /** Registers a stream under a fresh name, spread over all masters as far as its partitions go. */
  async stream(registration: Registration | number): Promise<string> {
    const name = this.name();
    const given = typeof registration === 'number' ? { partitions: registration } : registration;
    await this.client.register({ name, shards: Math.min(this.shards, given.partitions), ...given });
    return name;
  }

  /** For sending, looking and changing: of an engine that consumes nothing. */
  get client(): PartitionClient {
    return (this.sender ??= this.engine()).partitions();
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

  /** An engine with one consumer of `stream`, started; its group is `group` unless told otherwise. */
  consumer(stream: string, handlers: PartitionHandlers | PartitionHandlers['message'], options: StartOptions = {}): Promise<Consumer> {
    return startConsumer((more) => this.engine(more), stream, handlers, options);
  }

  onEnd(cleanup: () => unknown): void { this.cleanups.push(cleanup); }

  async clean(): Promise<void> {
    this.sender = undefined;
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
