import { writeFile } from 'node:fs/promises';
import type { ConnectionOptions } from 'nestjs-redis-streams/fanout';
import { startTopology, type Topology } from '../../support/topology.js';
import { waitUntil } from '../../support/wait.js';
import { serverClock } from '../clock.js';
import { RedisStreamsEngine } from '../library.js';
import type { ScenarioContext } from '../scenario.js';
import { fanoutShardKeys } from './library.js';
import { RoomMember, Spares } from './member.js';
import { type Deeds, noDeeds, type Mischief, type Place } from './messages.js';
import type { Death } from './deaths.js';
import { lineOf } from './record.js';
import { RoomLedger } from './room-ledger.js';
import { Witness } from './witness.js';

export interface FanoutWorldOptions {
  readonly rooms: number;
  readonly ttlMs: number;
  /** Of one subscriber. */
  readonly ackTimeoutMs: number;
  /** For so long at most a room stands still without a death. Default: 1,000. */
  readonly idleMs?: number;
  /** Default 2,000. */
  readonly commandTimeoutMs?: number;
  readonly mischief: Mischief;
  /** Processes kept ready to take the place of others. Default: none. */
  readonly spares?: number;
}

/** The room waits for a process so much longer than for one of its subscribers. */
export const ROOM_EXTRA_MS = 1_000;

/** One scenario's servers, ledger, witness, subscribers and sender. */
export class FanoutWorld {
  readonly rooms: readonly string[];
  /** Those that are neither ended nor stopping. */
  readonly members: RoomMember[] = [];
  readonly deaths = new Map<string, Death>();
  /** Label -> when. */
  readonly killed = new Map<string, number>();
  private readonly spawned: RoomMember[] = [];
  private readonly expectedToEnd = new Set<RoomMember>();
  private readonly spares: Spares;

  private constructor(
    readonly context: ScenarioContext,
    readonly options: FanoutWorldOptions,
    readonly topology: Topology,
    readonly ledger: RoomLedger,
    readonly witness: Witness,
    /** The runner's own: sends, looks. */
    readonly engine: RedisStreamsEngine,
    /** Server milliseconds. */
    readonly now: () => number,
    rooms: readonly string[],
  ) {
    this.rooms = rooms;
    this.spares = new Spares(options.spares ?? 0);
  }

  /** Runs `play` in a world of its own and ends everything afterwards, whatever happened. */
  static async with<T>(context: ScenarioContext, options: FanoutWorldOptions, play: (world: FanoutWorld) => Promise<T>): Promise<T> {
    const topology = await startTopology(context.topology);
    const ledger = await RoomLedger.start();
    const shards = shardsOf(topology);
    const engine = new RedisStreamsEngine({ connection: directTo(topology), consumerName: 'runner', fanout: { shards, ackTimeoutMs: roomTimeoutOf(options), maxRedeliveries: 20 } });
    const rooms = Array.from({ length: options.rooms }, (_, i) => `room-${i + 1}`);
    let world: FanoutWorld | undefined;
    try {
      await engine.start();
      const witness = await Witness.watch(topology, rooms, shards);
      world = new FanoutWorld(context, options, topology, ledger, witness, engine, await serverClock(topology.servers[0]!.port), rooms);
      return await play(world);
    } finally {
      const file = process.env['CHAOS_LEDGER'];
      if (file !== undefined && world) await world.dump(file);
      world?.witness.stop();
      await world?.spares.stop();
      await Promise.all(world?.spawned.map(({ process }) => process.kill('SIGKILL')) ?? []);
      await engine.stop();
      await ledger.stop();
      await topology.stop();
    }
  }

  get shards(): number {
    return shardsOf(this.topology);
  }

  get roomTimeoutMs(): number {
    return roomTimeoutOf(this.options);
  }

  get direct(): ConnectionOptions {
    return directTo(this.topology);
  }

  /** Starts a member; under a new name unless it takes over a dead one's. */
  async spawn(places: readonly Place[], { name, connection = this.direct }: { name?: string | undefined; connection?: ConnectionOptions } = {}): Promise<RoomMember> {
    const process = this.spares.take();
    const { label } = process;
    const { ttlMs, ackTimeoutMs, mischief, commandTimeoutMs = 2_000 } = this.options;
    const member = await RoomMember.spawn({
      name: name ?? label, label, connection, direct: this.direct, ttlMs, ackTimeoutMs, commandTimeoutMs, mischief, places, shards: this.shards, roomTimeoutMs: this.roomTimeoutMs,
      seed: this.context.rng.int(1, 2 ** 31 - 1), clockPort: this.topology.servers[0]!.port, ledgerPort: this.ledger.port,
    }, process);
    this.members.push(member);
    this.spawned.push(member);
    return member;
  }

  /** Members that do what they should: neither paused, stopping nor ended. */
  running(): RoomMember[] {
    return this.members.filter(({ state, process }) => state === 'running' && process.running);
  }

  async kill(member: RoomMember): Promise<void> {
    this.forget(member);
    const at = this.now();
    this.killed.set(member.label, at);
    await member.kill();
    await this.bury(member, at);
  }

  /** SIGSTOP; resolves when it is known until when its sessions live. */
  async pause(member: RoomMember): Promise<void> {
    const at = this.now();
    member.pause();
    await this.bury(member, at);
  }

  async stop(member: RoomMember): Promise<void> {
    this.forget(member);
    await member.stop();
  }

  /** From now on the server may give this name to another: what the earlier holder had may end before its time. */
  renamed(name: string): void {
    const at = this.now();
    for (const [session, death] of this.deaths) if (session.startsWith(`${name}:`) && death.deadline > at) this.deaths.set(session, { ...death, deadline: at });
  }

  until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs: number, intervalMs = 50): Promise<unknown> {
    return waitUntil(condition, { what, timeoutMs, intervalMs });
  }

  /** Rooms that have a message current or waiting. */
  async unfinished(): Promise<string[]> {
    const states = await Promise.all(this.rooms.map((room) => this.engine.fanout().state(room)));
    return states.flatMap(({ room, current, backlog, owing }) => (current || backlog > 0 ? [`${room} (${backlog} wait, ${owing.length} owe)`] : []));
  }

  get deeds(): Deeds {
    const sum = noDeeds();
    for (const { deeds } of this.spawned) for (const key of Object.keys(sum) as Array<keyof Deeds>) sum[key] += deeds[key];
    return sum;
  }

  /** What is wrong at the end whatever was played. */
  leftovers(): string[] {
    const breaches: string[] = [];
    const reports = this.spawned.flatMap(({ process }) => process.messages);
    const of = (type: 'unhandled' | 'taken' | 'failed', what: string): void => {
      const texts = reports.flatMap((report) => (report.type === type ? ['message' in report ? report.message : report.what] : []));
      if (texts.length > 0) breaches.push(`${texts.length} ${what}: ${texts.slice(0, 3).join('; ')}`);
    };
    const ended = this.spawned.filter((member) => !member.process.running && !this.expectedToEnd.has(member));
    if (ended.length > 0) breaches.push(`${ended.length} processes ended by themselves: ${ended[0]?.process.output().slice(-500)}`);
    of('unhandled', 'unhandled rejections');
    of('taken', 'acknowledgements were taken that should not have been');
    of('failed', 'acknowledgements could not be tried');
    const troubles = this.troubles();
    for (const trouble of troubles.filter((text) => !text.includes('a bad day')).slice(0, 5)) this.context.say(`onError of ${trouble}`);
    const blind = [...troubles.filter((message) => message.includes('the ledger:')), ...this.witness.blind];
    if (blind.length > 0) breaches.push(`this run shows nothing: ${blind[0]}`);
    return breaches;
  }

  /** Errors that the application is told of. Not wrong in themselves where processes are paused. */
  troubles(): string[] {
    return this.spawned.flatMap(({ process }) => process.messages.flatMap((report) => (report.type === 'trouble' ? [`${process.label}: ${report.message}`] : [])));
  }

  private forget(member: RoomMember): void {
    this.expectedToEnd.add(member);
    const at = this.members.indexOf(member);
    if (at >= 0) this.members.splice(at, 1);
  }

  private async bury({ name, label }: RoomMember, at: number): Promise<void> {
    for (let shard = 0; shard < this.shards; shard++) {
      const { sessions } = fanoutShardKeys(undefined, shard);
      const server = this.topology.kind === 'standalone' ? this.topology.server : await this.topology.cluster.nodeFor(sessions);
      const all = (await server.cli('ZRANGE', sessions, 0, -1, 'WITHSCORES')) as string[];
      for (let i = 0; i + 1 < all.length; i += 2) {
        const session = all[i]!;
        if (session.startsWith(`${name}:`) && !this.deaths.has(session)) {
          const deadline = Number(all[i + 1]);
          this.deaths.set(session, { label, at, deadline, latest: deadline });
        }
      }
    }
  }

  /** All that was written down and reported, to find out how something came about. */
  private async dump(file: string): Promise<void> {
    const entries = (await this.ledger.entries()).map((entry) => `${entry.on.toFixed(3)} ${lineOf(entry)}`);
    const reports = this.spawned.flatMap(({ process }) => process.messages.flatMap((report) => (report.type === 'deeds' ? [] : [`${process.label} ${JSON.stringify(report)}`])));
    const releases = this.rooms.flatMap((room) => this.witness.releases(room).map(({ id, redelivery, turn }) => `${(turn / 1_000).toFixed(3)} release - - ${room} ${id} ${redelivery} -`));
    const deaths = [...this.deaths].map(([session, death]) => `death ${session} ${JSON.stringify(death)}`);
    await writeFile(file, `${[...reports, ...deaths, ...[...entries, ...releases].sort()].join('\n')}\n`);
  }
}

function shardsOf(topology: Topology): number {
  return topology.kind === 'cluster' ? 3 : 1;
}

function roomTimeoutOf({ ackTimeoutMs }: FanoutWorldOptions): number {
  return ackTimeoutMs + ROOM_EXTRA_MS;
}

function directTo(topology: Topology): ConnectionOptions {
  if (topology.kind === 'standalone') return { url: topology.server.url };
  return { cluster: { nodes: topology.cluster.startupNodes.map(({ host, port }) => ({ host, port })) } };
}
