import { Redis } from 'ioredis';
import { groupKeys } from '../library.js';
import { GROUP, type PartitionWorld, STREAM } from './world.js';

interface Owner { readonly session: string; readonly token: number }

/**
 * Follows every write to a group's keys as the server executes it (MONITOR, scripts' own commands included), and holds
 * them against what must never be written. It shares no code with the scripts, and misses nothing in between as
 * polling would.
 *
 *  - an owner is replaced only when it has released the partition, in a call of its own, or its session is over; by itself at any time, under a new token;
 *  - a session is taken out before its deadline only when it owns nothing any more;
 *  - tokens of a partition only rise, and so do generations;
 *  - a plan is installed for the present generation and no other, names every partition once and each member within one of the others.
 */
export class GroupMonitor {
  readonly breaches: string[] = [];
  grants = 0;
  plans = 0;
  /** So many there have been. */
  generations = 0;
  private generation = 0;
  private planned = 0;
  private caller = '';
  private readonly keys = groupKeys(STREAM, GROUP);
  private readonly deadlines = new Map<string, number>();
  private readonly owners = new Map<string, Owner>();
  private readonly roster = new Map<string, string>();
  private readonly target = new Map<string, string>();

  private constructor(private readonly partitions: number, private readonly connections: readonly Redis[]) {}

  /** Before the first member joins. */
  static async watch(world: PartitionWorld): Promise<GroupMonitor> {
    const redis = new Redis(world.server.port, '127.0.0.1');
    const monitor = await redis.monitor();
    const watching = new GroupMonitor(world.options.partitions, [redis, monitor]);
    monitor.on('monitor', (time: string, args: string[]) => watching.saw(Number(time) * 1_000, args));
    return watching;
  }

  stop(): void {
    for (const connection of this.connections) connection.disconnect();
  }

  private saw(at: number, [name = '', key = '', ...args]: string[]): void {
    const { keys } = this;
    switch (name.toUpperCase()) {
      case 'EVAL':
      case 'EVALSHA':
        this.caller = args[Number(args[0]) + 1] ?? ''; // ARGV 1: in all scripts that change owners, the session
        break;
      case 'ZADD':
        if (key === keys.sessions) this.deadlines.set(args.at(-1)!, Number(args.at(-2)));
        break;
      case 'ZREM':
        if (key === keys.sessions) this.sessionEnds(at, args[0]!);
        break;
      case 'HSET':
        for (let i = 0; i + 1 < args.length; i += 2) this.set(at, key, args[i]!, args[i + 1]!);
        break;
      case 'HDEL':
        if (key === keys.roster) this.roster.delete(args[0]!);
        break;
      case 'DEL':
        if (key === keys.target) this.target.clear();
        break;
      default:
    }
  }

  private set(at: number, key: string, field: string, value: string): void {
    const { keys } = this;
    if (key === keys.owners) this.ownerSet(at, field, value);
    else if (key === keys.roster) this.roster.set(field, value);
    else if (key === keys.target) this.target.set(field, value);
    else if (key === keys.group && field === 'generation') this.rosterChanged(Number(value));
    else if (key === keys.group && field === 'planned') this.planInstalled(Number(value));
  }

  private live(at: number, session: string): boolean {
    return (this.deadlines.get(session) ?? 0) > at;
  }

  private ownerSet(at: number, partition: string, value: string): void {
    const [session, text] = value.split(' ') as [string, string];
    const token = Number(text);
    const before = this.owners.get(partition);
    this.owners.set(partition, { session, token });
    if (session === '-') {
      if (before && before.session !== '-' && before.session !== this.caller && this.live(at, before.session)) this.breaches.push(`partition ${partition} of ${before.session} was freed by ${this.caller}`);
      return;
    }
    this.grants++;
    if (before && token <= before.token) this.breaches.push(`the token of partition ${partition} went from ${before.token} to ${token}`);
    if (!this.live(at, session)) this.breaches.push(`partition ${partition} was granted to ${session}, which is not live`);
    if (before && before.session !== '-' && before.session !== session && this.live(at, before.session)) this.breaches.push(`partition ${partition} was granted to ${session} while ${before.session} owned it and lived`);
  }

  private sessionEnds(at: number, session: string): void {
    const owned = [...this.owners].filter(([, owner]) => owner.session === session).map(([partition]) => partition);
    if (owned.length > 0 && this.live(at, session)) this.breaches.push(`${session} was taken out with ${owned.length} partitions ${Math.round(this.deadlines.get(session)! - at)} ms before its deadline`);
    this.deadlines.delete(session);
  }

  private rosterChanged(generation: number): void {
    this.generations++;
    if (generation <= this.generation) this.breaches.push(`the generation went from ${this.generation} to ${generation}`);
    this.generation = generation;
  }

  private planInstalled(generation: number): void {
    this.plans++;
    if (generation !== this.generation) this.breaches.push(`a plan for generation ${generation} was installed in generation ${this.generation}`);
    if (generation <= this.planned) this.breaches.push(`a plan for generation ${generation} was installed after one for ${this.planned}`);
    this.planned = generation;
    const lists = [...this.target.values()].map((list) => (list === '' ? [] : list.split(',')));
    const named = new Set(lists.flat());
    const sizes = lists.map(({ length }) => length);
    if (named.size !== this.partitions || lists.flat().length !== this.partitions) this.breaches.push(`the plan for generation ${generation} names ${named.size} of ${this.partitions} partitions, ${lists.flat().length} times`);
    if (Math.max(...sizes) - Math.min(...sizes) > 1) this.breaches.push(`the plan for generation ${generation} gives from ${Math.min(...sizes)} to ${Math.max(...sizes)} partitions`);
    const strangers = [...this.target.keys()].filter((member) => !this.roster.has(member));
    if (strangers.length > 0 || this.target.size !== this.roster.size) this.breaches.push(`the plan for generation ${generation} is for ${this.target.size} members of ${this.roster.size}`);
  }
}
