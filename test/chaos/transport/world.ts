import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, Redis } from 'ioredis';
import { startTopology, type Topology } from '../../support/topology.js';
import { waitUntil } from '../../support/wait.js';
import { QueueLedger } from '../queue/ledger.js';
import type { QueueTuning } from '../queue/library.js';
import { connectionTo } from '../queue/world.js';
import type { ScenarioContext } from '../scenario.js';
import { TransportAccount } from './account.js';
import { EVENT_QUEUE } from './messages.js';
import { ClientProcess, GuestsProcess, ServerProcess, type TransportProcess } from './workers.js';

const COMMAND_TIMEOUT_MS = 2_000;
/** Clients of the guests' process are numbered from here. */
const FIRST_GUEST = 10_000;

export interface WorldOptions {
  readonly services: readonly string[];
  readonly shards: number;
  readonly ttlMs: number;
  readonly events: QueueTuning & { readonly prefetch: number };
  /** Requests that a server runs, and holds, at once. */
  readonly concurrency: number;
  readonly requestTimeoutMs: number;
  /** Of each client. */
  readonly eventsPerSecond: number;
  readonly requestsPerSecond: number;
}

/** One scenario's servers of Redis, ledger, microservices and clients. */
export class TransportWorld {
  readonly account: TransportAccount;
  /** Those that are neither ended nor stopping. */
  readonly servers: ServerProcess[] = [];
  readonly clients: ClientProcess[] = [];
  readonly killed = new Set<string>();
  readonly killedClients = new Set<number>();
  private readonly spawned: TransportProcess[] = [];
  private labels = 0;
  private clientNumbers = 0;
  private syncing: Promise<void> | undefined;

  private constructor(
    readonly context: ScenarioContext,
    readonly options: WorldOptions,
    readonly topology: Topology,
    readonly ledger: QueueLedger,
    /** For looking past the library. */
    readonly redis: Redis | Cluster,
  ) {
    this.account = new TransportAccount(options.services);
  }

  /** Runs `play` in a world of its own and ends everything afterwards, whatever happened. */
  static async with<T>(context: ScenarioContext, options: WorldOptions, play: (world: TransportWorld) => Promise<T>): Promise<T> {
    const topology = await startTopology(context.topology);
    const ledger = await QueueLedger.start();
    const redis = topology.kind === 'standalone' ? new Redis(topology.server.url) : new Cluster([...topology.cluster.startupNodes]);
    redis.on('error', () => undefined);
    const world = new TransportWorld(context, options, topology, ledger, redis);
    try {
      return await play(world);
    } finally {
      await Promise.all(world.spawned.map(({ process }) => process.kill('SIGKILL')));
      redis.disconnect();
      await ledger.stop();
      await topology.stop();
    }
  }

  /** Starts a microservice; under a new name unless it takes over a dead one's. */
  async serve(service: string, ack: 'auto' | 'manual', name?: string): Promise<ServerProcess> {
    const label = `${service}-${++this.labels}`;
    const { ttlMs, shards, events, concurrency } = this.options;
    const born = await ServerProcess.spawn({ ...this.common, label, name: name ?? label, service, ttlMs, shards, events: { ...events, ack }, concurrency });
    this.servers.push(born);
    this.spawned.push(born);
    return born;
  }

  async startClient(): Promise<ClientProcess> {
    const producer = ++this.clientNumbers;
    const { eventsPerSecond: perSecond, requestsPerSecond, requestTimeoutMs } = this.options;
    const born = await ClientProcess.spawn({
      ...this.common, label: `client-${producer}`, producer, queue: EVENT_QUEUE, commandTimeoutMs: COMMAND_TIMEOUT_MS, options: {}, maxWorkMs: 40, ballast: 0,
      seed: this.context.seed + producer, perSecond, requestsPerSecond, requestTimeoutMs,
    });
    this.clients.push(born);
    this.spawned.push(born);
    return born;
  }

  async startGuests(count: number, overMs: number): Promise<GuestsProcess> {
    const { requestTimeoutMs } = this.options;
    const born = await GuestsProcess.spawn({ ...this.common, label: 'guests', requestTimeoutMs, seed: this.context.seed, first: FIRST_GUEST, count, lanes: 8, overMs });
    this.spawned.push(born);
    return born;
  }

  /** Servers that do what they should: neither paused nor ended. */
  running(): ServerProcess[] {
    return this.servers.filter(({ state, process }) => state === 'running' && process.running);
  }

  async kill(victim: ServerProcess | ClientProcess): Promise<void> {
    if (victim instanceof ServerProcess) this.servers.splice(this.servers.indexOf(victim), 1);
    else {
      this.clients.splice(this.clients.indexOf(victim), 1);
      this.killedClients.add(victim.number);
    }
    this.killed.add(victim.process.label);
    await victim.kill();
  }

  /** Takes in what the ledger has. */
  sync(): Promise<void> {
    return (this.syncing ??= this.take().finally(() => (this.syncing = undefined)));
  }

  /** @returns whether it came true in time */
  async until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
    return waitUntil(async () => (await this.sync(), condition()), { what, timeoutMs, intervalMs: 50 }).then(() => true, () => false);
  }

  /** Waits until every service has handled all that resolved, as long as anything still happens. @returns how long that took */
  async handled(quietMs: number): Promise<number> {
    const startedAt = performance.now();
    let effects = -1;
    let since = startedAt;
    for (;;) {
      await this.sync();
      if (this.account.open === 0) break;
      const now = performance.now();
      if (this.account.effects !== effects) [effects, since] = [this.account.effects, now];
      else if (now - since > quietMs) break;
      await sleep(30);
    }
    return Math.round(performance.now() - startedAt);
  }

  async stop(processes: readonly TransportProcess[]): Promise<string[]> {
    const stopped = await Promise.allSettled(processes.map((process) => process.stop()));
    await this.sync();
    return stopped.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []));
  }

  /** What is wrong at the end whatever was played. */
  complaints(): string[] {
    const breaches: string[] = [];
    const few = (what: string, found: readonly string[]): void => {
      if (found.length > 0) breaches.push(`${found.length} ${what}: ${found[0]}`);
    };
    const reports = this.spawned.flatMap(({ process }) => process.messages.map((report) => ({ report, label: process.label })));
    few('processes ended by themselves', this.spawned.filter(({ process, expectedToEnd }) => !process.running && !expectedToEnd).map(({ process }) => `${process.label}: ${process.output().slice(-500)}`));
    few('unhandled rejections', reports.flatMap(({ report, label }) => (report.type === 'unhandled' ? [`${label}: ${report.message}`] : [])));
    few('consumers gave up', reports.flatMap(({ report, label }) => (report.type === 'terminated' && report.reason !== 'closed' ? [`${label}: ${report.reason}`] : [])));
    few('stops failed', reports.flatMap(({ report, label }) => (report.type === 'stopped' && report.error !== undefined ? [`${label}: ${report.error}`] : [])));
    const troubles = this.troubles();
    for (const trouble of troubles.slice(0, 5)) this.context.say(`onError of ${trouble}`);
    few('sends were rejected with what is no error of the library', troubles.filter((message) => message.includes('none of the library')));
    few('times the ledger failed, so this run shows nothing', troubles.filter((message) => message.includes('the ledger:')));
    return breaches;
  }

  /** Errors that the application is told of. Not wrong in themselves where there are faults. */
  troubles(): string[] {
    return this.spawned.flatMap(({ process }) => process.messages.flatMap((report) => (report.type === 'trouble' ? [`${process.label}: ${report.message}`] : [])));
  }

  private get common() {
    return { connection: connectionTo(this.topology), ledgerPort: this.ledger.port };
  }

  private async take(): Promise<void> {
    for (const line of await this.ledger.fresh()) this.account.feed(line);
  }
}
