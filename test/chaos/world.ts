import type { ConnectionOptions, StreamInfo } from 'nestjs-redis-streams/lease';
import { type Ledger, startLedger } from '../support/ledger.js';
import type { Reply } from '../support/redis-command.js';
import type { RedisServer } from '../support/redis-server.js';
import { startTopology, type Topology } from '../support/topology.js';
import { waitUntil } from '../support/wait.js';
import { serverClock } from './clock.js';
import { Consumer } from './consumer.js';
import { LUA, RedisStreamsEngine } from './library.js';
import type { Report, ReportOf, Work, WorkerConfig } from './messages.js';
import type { ScenarioContext } from './scenario.js';

export interface WorldOptions {
  readonly service?: string;
  readonly ttlMs: number;
  readonly worker?: Partial<WorkerConfig>;
}

export interface Run extends ReportOf<'run'> { readonly by: string }

/** One scenario's servers, ledger, workers and announcer, and what has been reported so far. */
export class World {
  readonly consumers: Consumer[] = [];
  readonly runs: Run[] = [];
  /** Latest run by stream. */
  readonly latest = new Map<string, Run>();
  readonly reports: Array<{ by: string; report: Report }> = [];
  private readonly spawned: Consumer[] = [];
  private engine: RedisStreamsEngine | undefined;
  private readonly cleanups: Array<() => Promise<unknown> | void> = [];
  private readonly replacements = new Set<Promise<unknown>>();
  private names = 0;

  private constructor(
    readonly context: ScenarioContext,
    readonly options: WorldOptions,
    readonly service: string,
    readonly topology: Topology,
    readonly ledger: Ledger,
    /** The master that serves this service's keys. */
    readonly server: RedisServer,
    /** Server milliseconds. */
    readonly now: () => number,
  ) {}

  /** Runs `play` in a world of its own and ends everything afterwards, whatever happened. */
  static async with<T>(context: ScenarioContext, options: WorldOptions, play: (world: World) => Promise<T>): Promise<T> {
    const service = options.service ?? 'chaos';
    const topology = await startTopology(context.topology);
    const ledger = await startLedger();
    const server = topology.kind === 'standalone' ? topology.server : await topology.cluster.nodeFor(`${service}-input`);
    const world = new World(context, options, service, topology, ledger, server, await serverClock(server.port));
    try {
      return await play(world);
    } finally {
      await world.end();
    }
  }

  get lbs(): string {
    return `${this.service}-input`;
  }

  key(name: string): string {
    return `{${this.lbs}}:${name}`;
  }

  get connection(): ConnectionOptions {
    const { topology } = this;
    if (topology.kind === 'standalone') return { url: topology.server.url };
    return { cluster: { nodes: topology.cluster.startupNodes.map(({ host, port }) => ({ host, port })) } };
  }

  cli(...args: (string | number)[]): Promise<Reply> {
    return this.server.cli(...args);
  }

  onEnd(cleanup: () => Promise<unknown> | void): void {
    this.cleanups.push(cleanup);
  }

  async spawn(count = 1, more: Partial<WorkerConfig> = {}): Promise<Consumer[]> {
    const born = await Promise.all(Array.from({ length: count }, async () => {
      const consumer = await Consumer.spawn({
        name: `c${++this.names}`, service: this.service, connection: this.connection, clockPort: this.server.port,
        ttlMs: this.options.ttlMs, ledgerPort: this.ledger.port, ...this.options.worker, ...more,
      });
      this.consumers.push(consumer);
      this.spawned.push(consumer);
      return consumer;
    }));
    return born;
  }

  /** Spawns a worker in the background; a failure is found by whoever waits for the worker. */
  replace(): void {
    const born: Promise<unknown> = this.spawn(1).catch(() => undefined).finally(() => this.replacements.delete(born));
    this.replacements.add(born);
  }

  /** Workers that are neither ended, stopping nor paused. */
  running(): Consumer[] {
    return this.consumers.filter(({ state }) => state === 'running');
  }

  remove(consumer: Consumer): void {
    this.consumers.splice(this.consumers.indexOf(consumer), 1);
  }

  /** Takes in what the workers have reported. Cheap; call it in every condition. */
  sync(): void {
    for (const consumer of this.spawned) {
      for (const report of consumer.fresh()) {
        this.reports.push({ by: consumer.name, report });
        if (report.type !== 'run') continue;
        const run = { ...report, by: consumer.name };
        this.runs.push(run);
        const before = this.latest.get(run.stream);
        if (!before || before.token < run.token) this.latest.set(run.stream, run);
      }
    }
  }

  reported<T extends Report['type']>(type: T): ReportOf<T>[] {
    this.sync();
    return this.reports.flatMap(({ report }) => (report.type === type ? [report as ReportOf<T>] : []));
  }

  async until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 10_000, intervalMs = 5): Promise<void> {
    await waitUntil(() => (this.sync(), condition()), { what, timeoutMs, intervalMs });
  }

  /** Announces a stream, straight to the server, and enters it in the ledger. */
  async announce(stream: string, work: Work = {}): Promise<string> {
    this.engine ??= this.announcer(this.connection);
    const { id } = await this.engine.leases().announce(this.service, stream, work as StreamInfo);
    this.ledger.record('sent', { resource: stream });
    return id;
  }

  /** A further engine that only announces. */
  announcer(connection: ConnectionOptions): RedisStreamsEngine {
    const engine = new RedisStreamsEngine({ connection, consumerName: `announcer-${++this.names}` });
    this.cleanups.unshift(() => engine.stop());
    return engine;
  }

  async deadlineOf(session: string): Promise<number | undefined> {
    const score = await this.cli('ZSCORE', this.key('sessions'), session);
    return score === null ? undefined : Number(score);
  }

  /**
   * What a zombie without any fence of its own would send: the settle script itself, in the name of a session
   * and with a token. Answers what the server said: LOST, FENCED, or OK, which for a stale token is a breach.
   */
  async rawSettle(session: string, stream: string, token: number, operation = 'done'): Promise<string> {
    const keys = [this.lbs, ...['sessions', 'leases', 'checkpoints', 'free', 'follow-ups', 'dead', 'settled', 'epoch'].map((name) => this.key(name))];
    const reply = (await this.cli('EVAL', LUA['lease-settle'] ?? '', keys.length, ...keys, session, `${this.service}-group`, this.key('bell'), 2 ** 40 + Math.trunc(this.now()), operation, stream, String(token), '1-1', '')) as string[];
    return reply[0] === 'LOST' ? 'LOST' : (reply[1] ?? '?');
  }

  /** A heartbeat that was on its way when its sender was stopped, or that a zombie sends: must not answer LIVE past the deadline. */
  async rawHeartbeat(session: string): Promise<string> {
    const reply = (await this.cli('EVAL', LUA['heartbeat'] ?? '', 2, this.key('sessions'), this.key('names'), session, '', this.options.ttlMs)) as string[];
    return reply[0] ?? '?';
  }

  /** Everything announced is completed on the server: nothing open is left in the LBS. */
  async drained(timeoutMs = 30_000): Promise<void> {
    await this.until('everything announced is completed', async () => Number(await this.cli('XLEN', this.lbs)) === 0, timeoutMs, 50);
  }

  private async end(): Promise<void> {
    await Promise.all(this.replacements);
    for (const cleanup of this.cleanups) await Promise.resolve(cleanup()).catch(() => undefined);
    await Promise.all(this.spawned.map(({ process }) => process.kill('SIGKILL')));
    await this.ledger.stop();
    await this.topology.stop();
  }
}
