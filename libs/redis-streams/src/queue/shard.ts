import { isTransient } from '../kernel/server-errors.js';
import { ReadAhead } from '../kernel/read-ahead.js';
import type { StreamMessage } from '../kernel/xread-parser.js';
import { HeldMessage } from './held-message.js';
import { Looks } from './looks.js';
import { QueueReader } from './reader.js';
import { Settlements } from './settlements.js';
import type { QueueShardContext, QueueShardHost } from './shard-host.js';
import type { Look, Outcomes, QueueShardStore } from './store.js';
import { Membership } from '../session/membership.js';

/** How often a count that differs is looked at before the ids are compared: in between it is what is on the way. */
const DIFFERENT_LOOKS = 3;
const QUIET_LOOK_MS = 300;
/** What becomes due one by one is seen to together: a look costs more than a message. */
const LOOKS_APART_MS = 4;
const MAX_TAKE = 256;

/** One process's part in one shard of a queue: its session, what it reads, what it holds, and what becomes of that. */
export class QueueShard {
  private readonly membership: Membership;
  private readonly reader: QueueReader;
  private readonly settlements: Settlements;
  /** Everything the server has given us, until it knows what became of it. */
  private readonly held = new Map<string, HeldMessage>();
  /** Of these, how many have an outcome that is on its way to the server. */
  private outgoing = 0;
  private readonly ahead: ReadAhead;
  private readonly looks = new Looks(() => this.lookOnce());
  private more = false;
  /** Nothing may be read: the group is paused, or this session has yet to learn whether it is. */
  private paused = true;
  private surplus = 0;
  /** Reads that brought something, in all and at the last look. */
  private deliveries = 0;
  private deliveriesThen = 0;
  private joinedBefore = false;
  /** Why delayed messages could not join at the last look. */
  private refusedBefore: string | undefined;
  private stopping = false;

  constructor(
    readonly shard: number,
    private readonly store: QueueShardStore,
    private readonly host: QueueShardHost,
    private readonly context: QueueShardContext,
  ) {
    const { redis, identity, session, commandTimeoutMs } = context;
    this.ahead = new ReadAhead(host.prefetchFrom, host.prefetch, performance.now());
    this.membership = new Membership(
      redis,
      { scope: this.scope, keys: store.own, identity, session, meta: String(session.ttlMs), commandTimeoutMs },
      host.events,
      {
        joined: () => this.joined(),
        lost: () => this.lose(),
        look: (ring) => this.rung(ring),
        failed: (error) => host.failed(error),
        trouble: (error) => host.onError(error, `joining ${this.scope} again`),
      },
    );
    this.reader = new QueueReader(redis, store.keys.messages, store.group, host.blockMs, {
      session: () => (this.stopping ? undefined : this.session),
      wanted: () => this.wanted(),
      deliver: (messages, more) => this.deliver(messages, more),
      compare: (id) => this.compare(id),
      createGroup: () => store.createGroup('0-0'),
      trouble: (error, retryInMs, failures) => host.events.emit('reader.error', { service: this.scope, error, retryInMs, failures }),
      recovered: (failures, downMs) => host.events.emit('reader.recovered', { service: this.scope, failures, downMs }),
    });
    this.settlements = new Settlements(store, {
      lingerMs: host.lingerMs,
      session: () => this.session,
      settled: (outcomes, dueMs) => this.settled(outcomes, dueMs),
      refused: (id) => this.membership.refused(id),
      trouble: (error) => host.onError(error, `settling messages of ${this.scope}`),
    });
  }

  get scope(): string {
    return `${this.host.queue}/${this.shard}#${this.host.group}`;
  }

  get session(): string | undefined {
    return this.membership.session;
  }

  get size(): number {
    return this.held.size;
  }

  holds(held: HeldMessage): boolean {
    return this.held.get(held.id) === held && this.session !== undefined;
  }

  /** Joins and begins to read. @throws ConsumerNameInUseError | ConnectionError */
  async start(): Promise<void> {
    await this.membership.start();
    if (!this.stopping) this.reader.start();
  }

  /** Reads nothing more. What was not begun goes back at once. */
  async stopReading(unbegun: readonly HeldMessage[]): Promise<void> {
    this.stopping = true;
    const looked = this.looks.stop();
    for (const held of unbegun) if (this.holds(held)) this.retry(held.asItCame(), 0);
    await this.reader.stop();
    await looked;
    // A read that was broken off may have been answered all the same. Not waited for: should it fail, the end gives all back.
    if (this.session) void this.compare(this.session).catch(() => undefined);
  }

  /** Says good-bye; what is still held goes to others. */
  async leave(): Promise<void> {
    const session = await this.membership.stop();
    void this.looks.stop();
    this.settlements.drop();
    if (!session) return;
    const { identity } = this.context;
    try {
      await this.store.leave(session, identity.exclusive ? identity.name : '');
      this.host.events.emit('session.left', { scope: this.scope, session });
    } catch (error) {
      this.host.onError(error as Error, `leaving ${this.scope}; what it held goes to others when its session expires`);
    }
  }

  // What became of messages.

  done(held: HeldMessage): void {
    this.outgoing++;
    this.settlements.handled(held);
    // What is settled makes room for more.
    if (this.room * 2 < this.ahead.size) this.settlements.hurry();
  }

  retry(held: HeldMessage, delayMs: number): void {
    this.outgoing++;
    this.settlements.retry(held, delayMs);
  }

  giveUp(held: HeldMessage, fields: readonly string[]): void {
    this.outgoing++;
    this.settlements.giveUp(held, fields);
  }

  /** Resolves when what was said so far is stored; false: the session was over before. */
  stored(): Promise<boolean> {
    return this.settlements.stored();
  }

  /** The host has become hungry. */
  feed(): void {
    this.reader.look();
  }

  /** Writes down that a message is about to be handled. @returns false: it is not ours any more */
  async begin(held: HeldMessage): Promise<boolean> {
    const { session } = this;
    if (session === undefined || !this.holds(held)) return false;
    const begun = await this.store.begin(session, [held]);
    if (!begun) this.membership.refused(session);
    return begun && this.holds(held);
  }

  private get room(): number {
    return Math.max(0, this.ahead.size - this.held.size);
  }

  /** In large parts: half of what may be held at once, or whatever there is room for when nothing is left to do. */
  private wanted(): number {
    const { room } = this;
    return this.paused || (room * 2 < this.ahead.size && this.held.size > this.outgoing && !this.host.hungry()) ? 0 : room;
  }

  private joined(): void {
    if (this.joinedBefore) this.host.rejoined();
    this.joinedBefore = true;
    this.surplus = 0;
    this.paused = true;
    this.looks.look();
  }

  private lose(): void {
    this.settlements.drop();
    this.host.lost(this);
    this.held.clear();
    this.outgoing = 0;
    this.looks.forget();
    this.reader.interrupt();
  }

  private rung(ring: string | undefined): void {
    const due = ring?.startsWith('due ') ? Number(ring.slice(4)) : undefined;
    if (due === undefined) this.looks.look();
    else this.looks.expect(due);
  }

  /** @returns false: it is no use to look again at once */
  private async lookOnce(): Promise<boolean> {
    const { session } = this;
    if (session === undefined) return false;
    try {
      const look = await this.store.look(session, Math.min(this.room, MAX_TAKE));
      if (this.session !== session) return true; // another one may have asked meanwhile
      if (look) this.found(look);
      else this.membership.refused(session);
      return look !== undefined;
    } catch (error) {
      if (!isTransient(error)) this.host.onError(error as Error, `looking after ${this.scope}`);
      // The server is away, or will not: heartbeats, which look again, tell of that. What it took may be ours all the same.
      if (this.session === session) this.reader.doubt();
      return false;
    }
  }

  private found({ taken, paused, more, mine, nextDueMs, nextPeerMs, refused }: Look): void {
    const { queue, group, events } = this.host;
    for (const held of taken) this.held.set(held.id, held);
    // Once: looks come often.
    if (refused !== undefined && refused !== this.refusedBefore) this.host.onError(new Error(refused), `letting delayed messages of ${this.scope} join`);
    this.refusedBefore = refused;
    this.setPaused(paused);
    this.more = more;
    const orphans = taken.filter(({ orphan }) => orphan).length;
    if (orphans > 0) events.emit('queue.takenOver', { queue, group, shard: this.shard, messages: orphans });
    if (taken.length > 0) this.host.delivered(this, taken);
    this.count(mine);
    if (nextDueMs) this.looks.expect(Math.max(nextDueMs, LOOKS_APART_MS));
    this.membership.expectPeer(nextPeerMs);
    if (nextDueMs === 0 || (more && this.room > 0)) this.looks.look();
  }

  /** What is read is the server's to give, and its answer may be lost: then it counts more than we do, look after look. */
  private count(mine: number): void {
    const quiet = this.deliveriesThen === this.deliveries;
    this.deliveriesThen = this.deliveries;
    this.surplus = mine > this.held.size ? this.surplus + 1 : 0;
    if (this.surplus >= DIFFERENT_LOOKS) {
      this.surplus = 0;
      this.reader.doubt();
    } else if (this.surplus > 0 && quiet) {
      this.looks.expect(QUIET_LOOK_MS); // while nothing comes there is hardly anything on the way: no need to wait for heartbeats
    }
  }

  private async compare(session: string): Promise<void> {
    const before = new Set(this.held.keys());
    const theirs = await this.store.heldBy(session);
    // Looks go on meanwhile, and what they bring is known by the time they end.
    await this.looks.quiet();
    if (this.session !== session) return;
    for (const [id, deliveries] of theirs) {
      if (before.has(id) || this.held.has(id)) continue;
      const held = new HeldMessage({ id, key: undefined, data: undefined, headers: undefined, other: undefined }, 0, 0, false, false, deliveries);
      this.held.set(id, held);
      this.retry(held, 0);
    }
  }

  private deliver(messages: readonly StreamMessage[], more: boolean): void {
    if (more && this.held.size === this.outgoing) this.ahead.ranDry();
    this.deliveries++;
    // A group that was destroyed and made again gives what is being handled once more.
    const fresh = messages.filter(({ id }) => !this.held.has(id)).map((message) => new HeldMessage(message));
    for (const held of fresh) this.held.set(held.id, held);
    this.host.delivered(this, fresh);
  }

  private setPaused(paused: boolean): void {
    if (this.paused === paused) return;
    this.paused = paused;
    if (paused) this.reader.interrupt();
    else this.reader.look();
  }

  /** Unless it was taken again since. */
  private forget(held: HeldMessage): void {
    if (this.held.get(held.id) === held) this.held.delete(held.id);
  }

  private settled(outcomes: Outcomes, dueMs: number): void {
    const { done, again, givenUp } = outcomes;
    for (const held of done) this.forget(held);
    for (const { held } of again) this.forget(held);
    for (const { held } of givenUp) this.forget(held);
    this.outgoing -= done.length + again.length + givenUp.length;
    const { queue, group, events } = this.host;
    events.emit('queue.settled', { queue, group, shard: this.shard, done: done.length, retried: again.length, deadLettered: givenUp.length });
    this.ahead.handled(done.length, performance.now());
    if (dueMs >= 0) this.looks.expect(dueMs);
    this.reader.look();
    if (this.more && this.room * 2 >= this.ahead.size) this.looks.look();
  }
}
