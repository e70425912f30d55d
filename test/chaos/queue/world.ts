import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, Redis } from 'ioredis';
import { startTopology, type Topology } from '../../support/topology.js';
import { waitUntil } from '../../support/wait.js';
import type { ScenarioContext } from '../scenario.js';
import { Account } from './account.js';
import { judge, type Forbidden, type Judgement } from './judge.js';
import { QueueLedger } from './ledger.js';
import { keysOf, RedisStreamsEngine, type ConnectionOptions, type QueueShardKeys, type QueueTuning } from './library.js';
import type { ConsumerConfig, ProducerConfig, Task } from './messages.js';
import { whereabouts } from './whereabouts.js';
import { ConsumerProcess, ProducerProcess, type QueueProcess } from './workers.js';

export const QUEUE = 'chaos';
export const GROUP = 'workers';

export interface WorldOptions {
  readonly shards: number;
  /** Default: one, `QUEUE`. */
  readonly queues?: readonly string[];
  readonly ttlMs: number;
  readonly tuning: QueueTuning & { readonly prefetch: number };
  /** Default: as the run says. */
  readonly start?: () => Promise<Topology>;
}

const PAGE = 10_000;
/** Nothing happened for so long: what is open may be among the dead letters. */
const STILL_MS = 500;
const DEFAULT_COMMAND_TIMEOUT_MS = 2_000;

/** One scenario's servers, ledger, producers and consumers. */
export class QueueWorld {
  readonly account = new Account();
  readonly producers: ProducerProcess[] = [];
  /** Those that are neither ended nor stopping. */
  readonly consumers: ConsumerProcess[] = [];
  readonly killed = new Set<string>();
  private readonly spawned: QueueProcess[] = [];
  private readonly cleanups: Array<() => Promise<unknown>> = [];
  private labels = 0;
  private syncing: Promise<void> | undefined;

  private constructor(
    readonly context: ScenarioContext,
    readonly options: WorldOptions,
    readonly topology: Topology,
    readonly ledger: QueueLedger,
    /** The runner's own: registers and looks. */
    readonly engine: RedisStreamsEngine,
    /** For looking past the library. */
    readonly redis: Redis | Cluster,
  ) {}

  /** Runs `play` in a world of its own and ends everything afterwards, whatever happened. */
  static async with<T>(context: ScenarioContext, options: WorldOptions, play: (world: QueueWorld) => Promise<T>): Promise<T> {
    const topology = await (options.start?.() ?? startTopology(context.topology));
    const ledger = await QueueLedger.start();
    const engine = new RedisStreamsEngine({ connection: connectionTo(topology), consumerName: 'runner', onError: () => undefined });
    for (const name of options.queues ?? [QUEUE]) engine.registerQueue({ name, shards: options.shards });
    const redis = topology.kind === 'standalone' ? new Redis(topology.server.url) : new Cluster([...topology.cluster.startupNodes]);
    redis.on('error', () => undefined);
    let world: QueueWorld | undefined;
    try {
      await engine.start();
      world = new QueueWorld(context, options, topology, ledger, engine, redis);
      return await play(world);
    } finally {
      await Promise.all(world?.spawned.map(({ process }) => process.kill('SIGKILL')) ?? []);
      for (const cleanup of world?.cleanups ?? []) await cleanup().catch(() => undefined);
      redis.disconnect();
      await engine.stop().catch(() => undefined);
      await ledger.stop();
      await topology.stop();
    }
  }

  onEnd(cleanup: () => Promise<unknown>): void {
    this.cleanups.push(cleanup);
  }

  get perSession(): number {
    return Math.ceil(this.options.tuning.prefetch / this.options.shards);
  }

  async produce(more: Partial<ProducerConfig> = {}): Promise<ProducerProcess> {
    const producer = this.producers.length + 1;
    this.producers.push(undefined as never); // its number is taken
    const born = await ProducerProcess.spawn({
      label: `p${producer}`, producer, queue: QUEUE, connection: connectionTo(this.topology), ledgerPort: this.ledger.port, commandTimeoutMs: DEFAULT_COMMAND_TIMEOUT_MS,
      options: {}, maxWorkMs: 0, ballast: 0, seed: this.context.seed + producer, ...more,
    });
    this.producers[producer - 1] = born;
    this.spawned.push(born);
    return born;
  }

  /** Starts a consumer; under a new name unless it takes over a dead one's. */
  async consume(more: Partial<ConsumerConfig> = {}): Promise<ConsumerProcess> {
    const label = `c${++this.labels}`;
    const { ttlMs, tuning } = this.options;
    const born = await ConsumerProcess.spawn({
      name: label, label, queue: QUEUE, group: GROUP, connection: connectionTo(this.topology), ledgerPort: this.ledger.port, commandTimeoutMs: DEFAULT_COMMAND_TIMEOUT_MS,
      ttlMs, ...more, tuning: { ...tuning, ...more.tuning },
    });
    this.consumers.push(born);
    this.spawned.push(born);
    return born;
  }

  /** Consumers that do what they should: neither paused, stopping nor ended. */
  running(): ConsumerProcess[] {
    return this.consumers.filter(({ state, process }) => state === 'running' && process.running);
  }

  async kill(consumer: ConsumerProcess): Promise<void> {
    this.consumers.splice(this.consumers.indexOf(consumer), 1);
    this.killed.add(consumer.process.label);
    await consumer.kill();
  }

  /** Takes in what the ledger has. */
  sync(): Promise<void> {
    return (this.syncing ??= this.take().finally(() => (this.syncing = undefined)));
  }

  until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 10_000, intervalMs = 20): Promise<unknown> {
    return waitUntil(async () => (await this.sync(), condition()), { what, timeoutMs, intervalMs });
  }

  /** Waits until all that resolved had an effect or was given up, as long as anything still happens. @returns how long that took */
  async handled(quietMs: number): Promise<number> {
    const startedAt = performance.now();
    let effects = -1;
    let since = startedAt;
    let readAt = startedAt;
    let told = false;
    for (;;) {
      await this.sync();
      if (this.account.open === 0) break;
      const now = performance.now();
      if (this.account.effects !== effects) [effects, since] = [this.account.effects, now];
      else if (now - since > quietMs) break;
      if (now - since > STILL_MS && now - readAt > STILL_MS) {
        await this.readDead();
        readAt = performance.now();
      }
      if (now - since > quietMs / 2 && !told) {
        told = true;
        for (const line of await whereabouts({ ...this, group: GROUP, shards: this.keys(), consumers: this.running() })) this.context.say(line);
      }
      await sleep(30);
    }
    return Math.round(performance.now() - startedAt);
  }

  /** After faults: every producer's sends resolve again, and every consumer handles, in each shard, what was stored since. */
  async resumed(timeoutMs = 20_000, over = Date.now()): Promise<{ ms: number; missing: string[] }> {
    const missing = (): string[] => [
      ...this.producers.flatMap(({ name, number }) => (this.account.lastResolvedOf(number) > over ? [] : [name])),
      ...this.running().flatMap(({ process: { label }, sessions }) => {
        const back = sessions.filter((session) => this.account.newestOf(session) > over).length;
        return back === this.options.shards ? [] : [`${label} in ${this.options.shards - back} shards`];
      }),
    ];
    await this.sync(); // what was written down before
    await this.until('everybody works again', () => missing().length === 0, timeoutMs, 10).catch(() => undefined);
    return { ms: Date.now() - over, missing: missing() };
  }

  keys(queue = QUEUE): QueueShardKeys[] {
    return keysOf(queue, this.options.shards);
  }

  /** Reads all that the queue keeps, past the library, and enters it. @returns how many entries */
  async readQueue(queue = QUEUE): Promise<number> {
    let count = 0;
    for (const { messages } of this.keys(queue)) {
      for (let from = '-'; ; ) {
        const page = await this.redis.xrange(messages, from, '+', 'COUNT', PAGE);
        for (const [, fields] of page) {
          const { p, n } = JSON.parse(fields[fields.indexOf('data') + 1] ?? '{}') as Task;
          this.account.found(p, n);
        }
        count += page.length;
        if (page.length < PAGE) break;
        from = `(${page.at(-1)![0]}`;
      }
    }
    return count;
  }

  /** Reads the dead letters, past the library, and enters them. @returns their reasons */
  async readDead(queue = QUEUE): Promise<string[]> {
    const reasons: string[] = [];
    for (const { dead } of this.keys(queue)) {
      for (const [letter, fields] of await this.redis.xrange(dead, '-', '+')) {
        const { p, n } = JSON.parse(fields[fields.indexOf('entry.data') + 1] ?? '{}') as Task;
        this.account.parked(p, n, letter);
        reasons.push(fields[fields.indexOf('reason') + 1] ?? '');
      }
    }
    return reasons;
  }

  /** What consumers of the queue hold, and who they are, when everything is handled: nothing. */
  async pending(queue = QUEUE): Promise<number> {
    let count = 0;
    for (const { messages } of this.keys(queue)) {
      const reply = (await this.redis.xpending(messages, GROUP).catch(() => [0])) as [number];
      count += Number(reply[0]);
    }
    return count;
  }

  judge(more: { tolerated?: readonly Forbidden[]; producers?: ReadonlySet<number> } = {}): Judgement {
    return judge(this.account, { perSession: this.perSession, killed: this.killed, ...more });
  }

  async stopConsumers(): Promise<string[]> {
    const breaches: string[] = [];
    for (const consumer of this.consumers) if (consumer.state === 'paused') consumer.continue();
    await Promise.all(this.consumers.map((consumer) => consumer.stop())).catch((error: unknown) => breaches.push(String(error)));
    await this.sync();
    return breaches;
  }

  /** What is wrong at the end whatever was played. */
  leftovers(): string[] {
    const breaches: string[] = [];
    const ended = this.spawned.filter(({ process, expectedToEnd }) => !process.running && !expectedToEnd);
    if (ended.length > 0) breaches.push(`${ended.length} processes ended by themselves: ${ended[0]?.process.output().slice(-500)}`);
    const reports = this.spawned.flatMap(({ process }) => process.messages);
    const unhandled = reports.flatMap((report) => (report.type === 'unhandled' ? [report.message] : []));
    if (unhandled.length > 0) breaches.push(`${unhandled.length} unhandled rejections: ${unhandled[0]}`);
    const terminated = reports.flatMap((report) => (report.type === 'terminated' && report.reason !== 'closed' ? [report.reason] : []));
    if (terminated.length > 0) breaches.push(`${terminated.length} consumers gave up: ${terminated[0]}`);
    const stopped = reports.flatMap((report) => (report.type === 'stopped' && report.error !== undefined ? [report.error] : []));
    if (stopped.length > 0) breaches.push(`${stopped.length} stops failed: ${stopped[0]}`);
    const troubles = this.troubles();
    for (const trouble of troubles.slice(0, 5)) this.context.say(`onError of ${trouble}`);
    const untyped = troubles.find((message) => message.includes('none of the library'));
    if (untyped !== undefined) breaches.push(untyped);
    const blind = troubles.filter((message) => message.includes('the ledger:'));
    if (blind.length > 0) breaches.push(`the ledger failed ${blind.length} times, so this run shows nothing: ${blind[0]}`);
    return breaches;
  }

  /** Errors that the application is told of. Not wrong in themselves where there are faults. */
  troubles(): string[] {
    return this.spawned.flatMap(({ process }) => process.messages.flatMap((report) => (report.type === 'trouble' ? [`${process.label}: ${report.message}`] : [])));
  }

  private async take(): Promise<void> {
    for (const line of await this.ledger.fresh()) this.account.feed(line);
  }
}

export function connectionTo(topology: Topology): ConnectionOptions {
  if (topology.kind === 'standalone') return { url: topology.server.url };
  return { cluster: { nodes: topology.cluster.startupNodes.map(({ host, port }) => ({ host, port })) } };
}
