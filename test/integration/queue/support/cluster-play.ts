import { expect } from 'vitest';
import { type ClusterNode, type RedisCluster, startCluster, type ClusterOptions } from '../../../support/redis-cluster.js';
import { waitUntil } from '../../../support/wait.js';
import { type QueueConsumer, RedisStreamsEngine } from './engine.js';
import { keysOf } from './keys.js';

export const SHARDS = 3;
export const TIMEOUT_MS = 1_000;
export const TTL_MS = 2_000;

const QUEUE = 'jobs';

interface Sent { readonly n: number; readonly shard: number; readonly begun: number; readonly ms: number }
interface Run { readonly n: number; readonly shard: number; readonly at: number }

/** A cluster of its own, and on it a queue with a shard at each of three masters, its sender under load and its consumer. */
export class ClusterPlay {
  readonly sent: Sent[] = [];
  readonly refused: unknown[] = [];
  readonly runs: Run[] = [];
  /** Scopes of sessions that ended. */
  readonly lost: string[] = [];
  /** Connections for commands that were. */
  readonly replaced: string[] = [];
  /** As health and status are told. */
  readonly unconnected = new Set<RedisStreamsEngine>();
  private consumer!: QueueConsumer;
  private sender!: RedisStreamsEngine;
  private busy = true;
  private loading: Promise<unknown> = Promise.resolve();
  private readonly ends: Array<() => unknown> = [];

  private constructor(readonly cluster: RedisCluster) {
    this.ends.push(() => cluster.stop());
  }

  /** When messages of all shards flow. */
  static async begin(options: ClusterOptions): Promise<ClusterPlay> {
    const play = new ClusterPlay(await startCluster({ masters: 3, ...options }));
    try {
      await play.start();
    } catch (error) {
      await play.end();
      throw error;
    }
    return play;
  }

  async end(): Promise<void> {
    this.busy = false;
    for (const end of this.ends.splice(0).reverse()) await end();
  }

  engine(): RedisStreamsEngine {
    const engine = new RedisStreamsEngine({
      connection: { cluster: { nodes: [...this.cluster.startupNodes] } }, session: { ttlMs: TTL_MS }, commandTimeoutMs: TIMEOUT_MS, startTimeoutMs: 20_000, onError: () => undefined,
    });
    this.ends.push(() => engine.stop());
    return engine;
  }

  /** Until `wake`, or the end. */
  async stopped(master: ClusterNode): Promise<{ readonly at: number; wake(): Promise<void> }> {
    const wake = (): Promise<void> => master.kill('SIGCONT');
    this.ends.push(wake);
    await master.kill('SIGSTOP');
    return { at: performance.now(), wake };
  }

  /** The master of a shard at first. */
  masterOf(shard: number): Promise<ClusterNode> {
    return this.cluster.nodeFor(keysOf(QUEUE, { shards: SHARDS, shard }).messages);
  }

  sessions(): Array<string | undefined> {
    return this.consumer.sessions();
  }

  /** Latencies of sends to a shard that began in this time. */
  latencies(shard: number, from: number, to = Infinity): number[] {
    return this.sent.flatMap((each) => (each.shard === shard && each.begun >= from && each.begun < to ? [each.ms] : []));
  }

  runsOf(shard: number, from = 0, to = Infinity): number[] {
    return this.runs.flatMap((each) => (each.shard === shard && each.at >= from && each.at < to ? [each.n] : []));
  }

  /** Waits until a hundred messages that were sent to the shard after `since` and as many that were handled. */
  async flows(shard: number, since: number, what: string): Promise<void> {
    await waitUntil(() => this.latencies(shard, since).length > 100 && this.runsOf(shard, since).length > 100, { what, timeoutMs: 60_000 });
  }

  /** Sends no more, and waits until everything that was stored is handled. */
  async settled(): Promise<void> {
    this.busy = false;
    await this.loading;
    const missing = (): number[] => {
      const handled = new Set(this.runs.map(({ n }) => n));
      return this.sent.flatMap(({ n }) => (handled.has(n) ? [] : [n]));
    };
    await waitUntil(() => missing().length === 0, { what: 'everything that was stored is handled', timeoutMs: 30_000 }).catch(() => expect(missing(), 'lost').toEqual([]));
  }

  private async start(): Promise<void> {
    const receiver = this.engine();
    this.sender = this.engine();
    receiver.events.on('session.lost', ({ scope }) => this.lost.push(scope));
    for (const engine of [this.sender, receiver]) engine.events.on('connection.replaced', ({ role, why }) => role === 'command' && this.replaced.push(why));
    for (const engine of [this.sender, receiver]) {
      engine.events.on('connection.replaced', ({ role }) => role === 'command' && this.unconnected.add(engine));
      engine.events.on('connection.ready', ({ role }) => role === 'command' && this.unconnected.delete(engine));
    }
    await this.sender.queues().register({ name: QUEUE, shards: SHARDS });
    this.consumer = receiver.addQueueConsumer({ queue: QUEUE, retry: { initialMs: 50 } }, { message: (data, { shard }) => void this.runs.push({ n: Number(data), shard, at: performance.now() }) });
    await receiver.start();
    this.loading = this.load();
    for (let shard = 0; shard < SHARDS; shard++) await this.flows(shard, 0, `messages of shard ${shard} flow`);
  }

  /** Never waits for an answer to send the next: a shard that hangs holds up nobody. */
  private async load(): Promise<void> {
    const underWay: Array<Promise<void>> = [];
    for (let n = 0; this.busy; n++) {
      const begun = performance.now();
      underWay.push(this.sender.queues().queue(QUEUE).send(n).then(
        ({ shard }) => void this.sent.push({ n, shard, begun, ms: performance.now() - begun }),
        (error: unknown) => void this.refused.push(error),
      ));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await Promise.all(underWay);
  }
}
