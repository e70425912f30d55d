import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionOptions, PartitionTuning } from 'nestjs-redis-streams/partition';
import type { RedisServer } from '../../support/redis-server.js';
import { startTopology, type Topology } from '../../support/topology.js';
import { waitUntil } from '../../support/wait.js';
import { serverClock } from '../clock.js';
import { groupKeys, RedisStreamsEngine, shardKeys, shardOf } from '../library.js';
import type { ScenarioContext } from '../scenario.js';
import { EffectLedger } from './effect-ledger.js';
import { lineOf } from './effects.js';
import { Member } from './member.js';
import type { Mode } from './messages.js';

export const STREAM = 'chaos';
export const GROUP = 'workers';

/** Of this run so far: a scenario may have several worlds. */
let dumps = 0;

export interface WorldOptions {
  readonly partitions: number;
  readonly ttlMs: number;
  readonly tuning: PartitionTuning;
  /** Drawn for each worker. */
  readonly modes?: readonly Mode[];
}

/** One scenario's servers, ledger, members and producer. */
export class PartitionWorld {
  /** Those that are neither ended nor stopping. */
  readonly members: Member[] = [];
  private readonly spawned: Member[] = [];
  private readonly expectedToEnd = new Set<Member>();
  private labels = 0;

  private constructor(
    readonly context: ScenarioContext,
    readonly options: WorldOptions,
    readonly topology: Topology,
    readonly ledger: EffectLedger,
    /** The runner's own: registers, sends, looks. */
    readonly engine: RedisStreamsEngine,
    /** The master that coordinates the group. */
    readonly server: RedisServer,
    /** Server milliseconds. */
    readonly now: () => number,
  ) {}

  /** Runs `play` in a world of its own and ends everything afterwards, whatever happened. */
  static async with<T>(context: ScenarioContext, options: WorldOptions, play: (world: PartitionWorld) => Promise<T>): Promise<T> {
    const topology = await startTopology(context.topology);
    const ledger = await EffectLedger.start();
    const engine = new RedisStreamsEngine({ connection: connectionTo(topology), consumerName: 'runner' });
    engine.registerStream({ name: STREAM, partitions: options.partitions, shards: topology.kind === 'cluster' ? 3 : 1 });
    let world: PartitionWorld | undefined;
    try {
      await engine.start();
      const server = topology.kind === 'standalone' ? topology.server : await topology.cluster.nodeFor(groupKeys(STREAM, GROUP).owners);
      world = new PartitionWorld(context, options, topology, ledger, engine, server, await serverClock(server.port));
      return await play(world);
    } finally {
      const file = process.env['CHAOS_LEDGER'];
      if (file !== undefined && world) await world.dump(file);
      await Promise.all(world?.spawned.map(({ process }) => process.kill('SIGKILL')) ?? []);
      await engine.stop();
      await ledger.stop();
      await topology.stop();
    }
  }

  get client(): ReturnType<RedisStreamsEngine['partitions']> {
    return this.engine.partitions();
  }

  get ref(): { stream: string; group: string } {
    return { stream: STREAM, group: GROUP };
  }

  get shards(): number {
    return this.topology.kind === 'cluster' ? 3 : 1;
  }

  /** The keys of a partition's shard and the master that has them. */
  async shardOf(partition: number): Promise<{ keys: ReturnType<typeof shardKeys>; server: RedisServer }> {
    const keys = shardKeys(STREAM, shardOf(partition, this.shards));
    return { keys, server: this.topology.kind === 'standalone' ? this.topology.server : await this.topology.cluster.nodeFor(keys.dropped) };
  }

  /** Starts a member; under a new name unless it takes over a dead one's. */
  async spawn(options: { name?: string; tuning?: PartitionTuning } = {}): Promise<Member> {
    const member = await this.load(options, false);
    this.members.push(member);
    return member;
  }

  /** A process that has loaded everything and waits for `enter`. */
  load({ name, tuning }: { name?: string; tuning?: PartitionTuning }, onCall = true): Promise<Member> {
    const { rng } = this.context;
    const label = `w${++this.labels}`;
    return Member.spawn({
      name: name ?? label, label, stream: STREAM, group: GROUP, connection: connectionTo(this.topology),
      clockPort: this.server.port, ledgerPort: this.ledger.port, ttlMs: this.options.ttlMs,
      mode: rng.pick(this.options.modes ?? ['auto']), tuning: { ...this.options.tuning, ...tuning }, onCall,
    }).then((member) => (this.spawned.push(member), member));
  }

  /** One that was loaded takes part. */
  async enter(member: Member): Promise<void> {
    this.members.push(member);
    await member.begin();
  }

  spawnMany(count: number): Promise<Member[]> {
    return Promise.all(Array.from({ length: count }, () => this.spawn()));
  }

  /** Members that do what they should: neither paused, stopping nor ended. */
  running(): Member[] {
    return this.members.filter(({ state, process }) => state === 'running' && process.running);
  }

  async kill(member: Member): Promise<void> {
    this.forget(member);
    await member.kill();
  }

  async stop(member: Member): Promise<void> {
    this.forget(member);
    await member.stop();
  }

  /** It ends by itself, and that is in order. */
  forget(member: Member): void {
    this.expectedToEnd.add(member);
    const at = this.members.indexOf(member);
    if (at >= 0) this.members.splice(at, 1);
  }

  nameOf(label: string): string | undefined {
    return this.spawned.find(({ process }) => process.label === label)?.name;
  }

  until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 10_000, intervalMs = 10): Promise<unknown> {
    return waitUntil(condition, { what, timeoutMs, intervalMs });
  }

  /** Waits until so many effects were applied, as long as anything still happens, and not for ever. */
  async settled(effects: number, quietMs: number): Promise<boolean> {
    let length = -1;
    let since = performance.now();
    const until = since + 10 * quietMs;
    for (;;) {
      if ((await this.ledger.effects()) >= effects) return true;
      const now = await this.ledger.length();
      if (now !== length) [length, since] = [now, performance.now()];
      else if (performance.now() - since > quietMs) return false;
      if (performance.now() > until) return false;
      await sleep(50);
    }
  }

  /** What is wrong at the end whatever was played: processes that ended, errors nobody caught, messages not committed. */
  async leftovers(quietMs: number): Promise<string[]> {
    const breaches: string[] = [];
    const behind = async (): Promise<number[]> => (await this.client.lag(this.ref)).flatMap(({ partition, lag }) => (lag === 0 ? [] : [partition]));
    await this.until('all is committed', async () => (await behind()).length === 0, quietMs, 50).catch(() => undefined);
    const open = await behind();
    if (open.length > 0) breaches.push(`${open.length} partitions are not committed to their end by XINFO GROUPS: ${open.slice(0, 10).join(' ')}`);
    const ended = this.spawned.filter((member) => !member.process.running && !this.expectedToEnd.has(member));
    if (ended.length > 0) breaches.push(`${ended.length} processes ended by themselves: ${ended[0]?.process.output().slice(-500)}`);
    const reports = this.spawned.flatMap((member) => member.process.messages);
    const unhandled = reports.flatMap((report) => (report.type === 'unhandled' ? [report.message] : []));
    if (unhandled.length > 0) breaches.push(`${unhandled.length} unhandled rejections: ${unhandled[0]}`);
    const terminated = reports.flatMap((report) => (report.type === 'terminated' && report.reason !== 'closed' ? [report.reason] : []));
    if (terminated.length > 0) breaches.push(`${terminated.length} consumers gave up: ${terminated[0]}`);
    const troubles = this.troubles();
    for (const trouble of troubles.slice(0, 5)) this.context.say(`onError of ${trouble}`);
    const blind = troubles.filter((message) => message.includes('the ledger:'));
    if (blind.length > 0) breaches.push(`the ledger failed ${blind.length} times, so this run shows nothing: ${blind[0]}`);
    return breaches;
  }

  /** Errors that the application is told of. Not wrong in themselves where processes are paused. */
  troubles(): string[] {
    return this.spawned.flatMap(({ process }) => process.messages.flatMap((report) => (report.type === 'trouble' ? [`${process.label}: ${report.message}`] : [])));
  }

  /** All that the workers wrote down and reported, to find out how something came about. */
  private async dump(file: string): Promise<void> {
    const entries = (await this.ledger.entries()).map((entry) => lineOf(entry).join(' '));
    const reports = this.spawned.flatMap(({ process }) => process.messages.map((report) => `${process.label} ${JSON.stringify(report)}`));
    await writeFile(dumps++ === 0 ? file : `${file}.${dumps}`, `${[...reports, ...entries].join('\n')}\n`);
  }
}

function connectionTo(topology: Topology): ConnectionOptions {
  if (topology.kind === 'standalone') return { url: topology.server.url };
  return { cluster: { nodes: topology.cluster.startupNodes.map(({ host, port }) => ({ host, port })) } };
}
