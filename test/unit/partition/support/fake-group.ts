import { CommandTimeoutError } from '../../../../libs/redis-streams/dist/errors/index.js';
import { RedisStreamsEvents } from '../../../../libs/redis-streams/dist/observability/events.js';
import { Coordinator, type Grant } from '../../../../libs/redis-streams/dist/partition/coordinator.js';
import type { GroupStore, ReleasedPartition, Roster, SyncReply } from '../../../../libs/redis-streams/dist/partition/group-store.js';

type Row = NonNullable<SyncReply['rows']>[number];
type Owner = { session: string; token: number };
/** What becomes of a call: answered; done and its answer lost; not done at all; done, and sent again by a connection that broke before the answer. */
export type Fate = 'ok' | 'lost' | 'refused' | 'twice';

/** A consumer group as the scripts partition-*.lua keep it, in memory. Deadlines in Date.now(). */
export class FakeGroup {
  readonly deadlines = new Map<string, number>();
  readonly roster = new Map<string, string>();
  readonly owners = new Map<number, Owner>();
  readonly members: FakeMember[] = [];
  /** What went wrong: a live owner passed over, a plan for another generation. */
  readonly breaches: string[] = [];
  /** Tokens that an operator has taken away: their holder is fenced, and learns it with its next look, even if it learns after that that it was to have it. */
  readonly evicted = new Set<number>();
  target = new Map<string, readonly number[]>();
  generation = 0;
  planned = 0;
  revision = 0;
  epoch = 0;
  paused: 'all' | ReadonlySet<number> = new Set();
  fate: (what: 'sync' | 'roster' | 'plan', session: string) => Fate = () => 'ok';
  /** Milliseconds there and back; a bell is dropped when it says undefined. */
  travel: () => number = () => 1;
  bellTravel: (message: string) => number | undefined = () => 1;
  calls = 0;
  /** Sessions that are over without knowing it. */
  readonly forgotten = new Set<string>();
  /** What members said with their looks. */
  readonly looks: Array<{ readonly session: string; readonly known: string; readonly released: number; readonly held: number }> = [];
  /** Session -> number of its latest sync. */
  private readonly sequences = new Map<string, number>();
  private planner: { session: string; until: number } | undefined;

  constructor(readonly partitions: number) {}

  live(session: string): boolean {
    return (this.deadlines.get(session) ?? 0) > Date.now();
  }

  ring(message: string): void {
    for (const member of this.members) {
      const after = this.bellTravel(message);
      if (after !== undefined) setTimeout(() => member.rung(message), after);
    }
  }

  /** The store of one member: every call travels there and back, and may be lost on either way. */
  storeOf(session: () => string | undefined, isStill: () => boolean): GroupStore {
    const call = async <T>(what: 'sync' | 'roster' | 'plan', run: () => T): Promise<T> => {
      const fate = this.fate(what, session() ?? '-');
      this.calls++;
      await this.wait();
      if (isStill()) return new Promise<never>(() => undefined);
      if (fate === 'refused') throw new CommandTimeoutError('EVALSHA', 5);
      if (fate === 'twice') run();
      const result = run();
      await this.wait();
      if (fate === 'lost') throw new CommandTimeoutError('EVALSHA', 5);
      return result;
    };
    return {
      stream: 's', group: 'g', partitions: this.partitions,
      sync: (...args: Parameters<FakeGroup['sync']>) => call('sync', () => this.sync(...args)),
      roster: () => call('roster', () => this.rosterNow()),
      plan: (generation: number, target: ReadonlyMap<string, readonly number[]>) => call('plan', () => this.plan(generation, target)),
    } as unknown as GroupStore;
  }

  /** As partition-control does after a seek. */
  evict(which: (partition: number) => boolean): void {
    for (const [partition, owner] of this.owners) {
      if (!which(partition)) continue;
      this.evicted.add(owner.token);
      this.owners.set(partition, { ...owner, session: '-' });
    }
    this.revision++;
    this.ring('evicted');
  }

  leave(session: string, member: string): void {
    for (const [partition, owner] of this.owners) if (owner.session === session) this.owners.set(partition, { ...owner, session: '-' });
    this.deadlines.delete(session);
    if (this.roster.get(member) === session) {
      this.roster.delete(member);
      this.changed('roster');
    } else this.ring('free');
  }

  private wait(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.travel()));
  }

  private changed(news: 'planning' | 'roster'): void {
    this.generation++;
    this.ring(news);
  }

  private reap(): void {
    let gone = false;
    for (const [session, deadline] of this.deadlines) {
      if (deadline > Date.now()) continue;
      this.deadlines.delete(session);
      for (const [member, its] of this.roster) if (its === session) gone = this.roster.delete(member);
    }
    if (gone) this.changed('planning');
  }

  private sync(me: string, member: string, leaving: boolean, known: string, released: readonly ReleasedPartition[], heldNow: ReadonlyArray<readonly [number, number]>, planMs: number, sequence: number): SyncReply | 'LOST' | 'STALE' {
    this.looks.push({ session: me, known, released: released.length, held: heldNow.length });
    if (!this.live(me) || this.forgotten.has(me)) return 'LOST';
    if ((this.sequences.get(me) ?? 0) >= sequence) return 'STALE';
    this.sequences.set(me, sequence);
    this.reap();
    const seat = this.roster.get(member);
    if (leaving && seat === me) {
      this.roster.delete(member);
      this.changed('planning');
    } else if (!leaving && seat !== me) {
      this.roster.set(member, me);
      if (seat === undefined) this.changed('planning');
    }
    const freed: number[] = [];
    for (const { partition, token, above } of released) {
      const owner = this.owners.get(partition);
      if (owner?.session === me && owner.token === token) {
        this.owners.set(partition, { session: '-', token });
        freed.push(partition);
      }
      this.epoch = Math.max(this.epoch, above);
    }
    this.handOn(freed, me);
    let due: SyncReply['due'] = '';
    if (this.planned !== this.generation) {
      const { planner } = this;
      const taken = planner && planner.until > Date.now() && this.live(planner.session);
      if (taken && planner.session !== me) due = 'WAIT';
      else {
        if (!taken) this.planner = { session: me, until: Date.now() + planMs };
        due = 'PLAN';
      }
    }
    const version = `${this.planned}.${this.revision}`;
    const reply = { version, due, paused: this.paused, nextAwayMs: -1 };
    if (known !== '') return { ...reply, changed: known !== version, rows: undefined };
    return { ...reply, changed: false, rows: this.rows(me, leaving ? [] : (this.target.get(member) ?? []), new Map(heldNow)) };
  }

  /** To the live members that shall have them, which are told; else anybody may ask. */
  private handOn(freed: readonly number[], me: string): void {
    const given = new Map<string, string>();
    let left = false;
    for (const partition of freed) {
      const member = this.planned === this.generation ? [...this.target].find(([, list]) => list.includes(partition))?.[0] : undefined;
      const session = member === undefined ? undefined : this.roster.get(member);
      if (session === undefined || session === me || !this.live(session)) {
        left = true;
        continue;
      }
      this.owners.set(partition, { session, token: ++this.epoch });
      given.set(session, `${given.get(session) ?? ''} ${partition} ${this.epoch}`);
    }
    for (const [session, list] of given) this.ring(`granted ${session} ${this.sequences.get(session) ?? 0}${list}`);
    if (left) this.ring('free');
  }

  private rows(me: string, wanted: readonly number[], held: ReadonlyMap<number, number>): Row[] {
    const rows: Row[] = [];
    for (const [partition, owner] of this.owners) {
      if (owner.session !== me || held.get(partition) === owner.token || wanted.includes(partition)) continue;
      this.owners.set(partition, { ...owner, session: '-' });
      this.ring('free');
    }
    for (const [partition, token] of held) {
      const owner = this.owners.get(partition);
      if (owner?.session !== me || owner.token !== token) rows.push({ partition, token: 0, how: 'gone' });
    }
    for (const partition of wanted) {
      const owner = this.owners.get(partition);
      if (owner?.session === me && held.get(partition) === owner.token) rows.push({ partition, token: owner.token, how: 'held' });
      else if (owner?.session === me) {
        this.owners.set(partition, { session: me, token: ++this.epoch });
        rows.push({ partition, token: this.epoch, how: 'regranted' });
      } else if (owner && owner.session !== '-' && this.live(owner.session)) rows.push({ partition, token: 0, how: 'wait' });
      else {
        this.owners.set(partition, { session: me, token: ++this.epoch });
        rows.push({ partition, token: this.epoch, how: owner && owner.session !== '-' ? 'dead' : 'free' });
      }
    }
    return rows;
  }

  private rosterNow(): Roster {
    return { generation: this.generation, planned: this.planned, members: new Map(this.roster), target: new Map(this.target), owners: new Map(this.owners), deadlines: new Map(this.deadlines), paused: 'all' };
  }

  private plan(generation: number, target: ReadonlyMap<string, readonly number[]>): boolean {
    if (generation !== this.generation) return false;
    if (this.planned === generation) return true;
    this.target = new Map(target);
    this.planned = generation;
    this.planner = undefined;
    this.ring(`plan ${generation}`);
    return true;
  }
}

/** One member: a session, what it holds, and how long it takes to let go of it. */
export class FakeMember {
  readonly held = new Map<number, number>();
  readonly events = new RedisStreamsEvents();
  readonly coordinator: Coordinator;
  readonly troubles: Error[] = [];
  readonly revoked: number[][] = [];
  readonly granted: Grant[] = [];
  session: string | undefined;
  paused: 'all' | ReadonlySet<number> = new Set();
  drainMs: () => number = () => 5;
  private incarnation = 0;
  /** Its process is stopped or dead: nothing of it goes on. */
  private still = false;
  private beat: NodeJS.Timeout | undefined;
  private readonly draining = new Set<number>();

  constructor(
    private readonly group: FakeGroup,
    readonly name: string,
    private readonly ttlMs = 3_000,
  ) {
    group.members.push(this);
    this.coordinator = new Coordinator(group.storeOf(() => this.session, () => this.still), this.events, {
      session: () => (this.isLive ? { id: this.session!, member: this.name } : undefined),
      held: () => [...this.held],
      granted: (session, grants) => this.take(session, grants),
      revoke: (partitions) => this.giveBack(partitions),
      gone: (grants) => { for (const [partition, token] of grants) if (this.held.get(partition) === token) this.held.delete(partition); },
      paused: (partitions) => { this.paused = partitions; },
      refused: () => this.lose(),
      trouble: (error) => this.troubles.push(error),
    });
  }

  get isLive(): boolean {
    return this.session !== undefined && this.group.live(this.session);
  }

  join(): void {
    this.session = `${this.name}:${++this.incarnation}`;
    this.group.deadlines.set(this.session, Date.now() + this.ttlMs);
    this.coordinator.reset();
    this.coordinator.sync();
    clearInterval(this.beat);
    this.beat = setInterval(() => this.heartbeat(), this.ttlMs / 3);
  }

  rung(message: string): void {
    if (this.isLive && !this.still) this.coordinator.rung(message);
  }

  /** Silent from here on; its partitions go on being its own until the deadline. */
  kill(): void {
    this.still = true;
    clearInterval(this.beat);
  }

  /** Lets go, then leaves, as PartitionConsumer does. */
  async leave(): Promise<void> {
    await this.coordinator.resign();
    this.giveBack([...this.held.keys()]);
    const until = Date.now() + 2_000;
    while (this.held.size > 0 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 5));
    this.held.clear();
    await this.coordinator.stop();
    clearInterval(this.beat);
    const { session } = this;
    this.session = undefined;
    if (session) this.group.leave(session, this.name);
  }

  async stop(): Promise<void> {
    clearInterval(this.beat);
    this.session = undefined;
    const stopped = this.coordinator.stop();
    if (!this.still) await stopped;
  }

  private heartbeat(): void {
    if (!this.isLive) return this.lose();
    this.group.deadlines.set(this.session!, Date.now() + this.ttlMs);
    this.coordinator.rung(undefined);
  }

  private lose(): void {
    this.held.clear();
    this.session = undefined;
    this.coordinator.reset();
    setTimeout(() => this.join(), 20);
  }

  private take(session: string, grants: readonly Grant[]): void {
    for (const grant of grants) {
      this.granted.push(grant);
      for (const other of this.group.members) {
        const token = other.held.get(grant.partition);
        if (other !== this && other.isLive && token !== undefined && !this.group.evicted.has(token) && !this.group.evicted.has(grant.token)) this.group.breaches.push(`${grant.partition} granted to ${session} while ${other.session} holds it`);
      }
      this.held.set(grant.partition, grant.token);
    }
  }

  private giveBack(partitions: readonly number[]): void {
    this.revoked.push([...partitions]);
    for (const partition of partitions) {
      const token = this.held.get(partition);
      if (token === undefined || this.draining.has(partition)) continue;
      this.draining.add(partition);
      setTimeout(() => {
        this.draining.delete(partition);
        if (this.held.get(partition) !== token) return;
        this.held.delete(partition);
        this.coordinator.release(partition, token);
      }, this.drainMs());
    }
  }
}
