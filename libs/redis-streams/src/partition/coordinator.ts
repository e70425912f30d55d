import { assign, moved } from '../kernel/assignor.js';
import { isTransient } from '../kernel/server-errors.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import { sleep } from '../redis/sleep.js';
import type { GrantSource, GroupStore, ReleasedPartition } from './group-store.js';

/** How long the others wait for the member that plans. */
const PLAN_MS = 1_000;
const RETRY_MS = 100;
/** How long one that leaves goes on working until it is known who comes after it. */
const RESIGN_MS = 500;

export interface Grant {
  readonly partition: number;
  readonly token: number;
  readonly from: GrantSource;
}

export interface CoordinatorHost {
  /** The live session and its member name; undefined: take part no more. */
  session(): { readonly id: string; readonly member: string } | undefined;
  /** Everything held or on its way in or out. */
  held(): ReadonlyArray<readonly [partition: number, token: number]>;
  granted(session: string, grants: readonly Grant[]): void;
  /** Not in the target any more: to be drained, then given to `release`. */
  revoke(partitions: readonly number[]): void;
  /** The server says that these are not ours. One that is held under another token by now is: that grant came after what was asked. */
  gone(grants: ReadonlyArray<readonly [partition: number, token: number]>): void;
  paused(partitions: 'all' | ReadonlySet<number>): void;
  refused(session: string): void;
  trouble(error: Error): void;
}

/**
 * One member's side of the group protocol, after KIP-848: the roster has a generation; some member computes the target
 * for it; every member moves towards the target on its own, giving back what it is not to have and taking what is free.
 * Nobody waits for anybody except for the owner of the very partition it wants.
 *
 * `sync` is level-triggered: it says what is held and is told what to do, whatever was missed before. So the bell may
 * fail, answers may get lost and a member may stall anywhere: the next heartbeat's sync finds it.
 */
export class Coordinator {
  private released: ReleasedPartition[] = [];
  private target: ReadonlySet<number> = new Set();
  /** Version of the target that `target` is of; '' while something is to be done about it. */
  private version = '';
  private open = true;
  private leaving = false;
  private sequence = 0;
  private wanted = false;
  /** Ends the wait of `resign`. */
  private resigned: (() => void) | undefined;
  private running: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private patience: NodeJS.Timeout | undefined;

  constructor(
    private readonly store: GroupStore,
    private readonly events: RedisStreamsEvents,
    private readonly host: CoordinatorHost,
  ) {}

  /** Looks at the group, now or after the look under way. */
  sync(): void {
    this.wanted = true;
    if (this.open) this.running ??= this.run();
  }

  /** What a bell says decides who has to look: a joining or leaving peer is looked at once it has changed the roster. */
  rung(message: string | undefined): void {
    if (message === 'joined' || message === 'away') return;
    // Somebody plans, and rings when it has; should it die over that, somebody else must.
    if (message === 'planning') return this.expectPlan();
    if (message?.startsWith('granted ')) return this.given(message.split(' '));
    if (message?.startsWith('plan ')) {
      clearTimeout(this.patience);
      // Known to be another plan: asked in full, without first asking whether it is.
      if (!this.version.startsWith(`${message.slice('plan '.length)}.`)) this.version = '';
    }
    // Nothing is waited for, unless the answer under way says otherwise: it may be older than this bell and arrive after it.
    if (message === 'free' && !this.running && this.settled()) return;
    this.sync();
  }

  /** Drained: the next look gives it back. */
  release(partition: number, token: number, above = 0): void {
    this.released.push({ partition, token, above });
    this.version = '';
    this.sync();
  }

  /** A session began or ended: what was agreed under the last one is void. */
  reset(): void {
    this.released = [];
    this.target = new Set();
    this.version = '';
  }

  /**
   * Gives up the seat. Resolves when the others have a plan without us, so that each partition goes on the moment it is
   * given back; until then there is no reason to let go of any. Bounded, and never rejects.
   */
  async resign(): Promise<void> {
    const planned = new AbortController();
    this.resigned = () => planned.abort();
    this.leaving = true;
    this.version = '';
    this.sync();
    await sleep(RESIGN_MS, planned.signal);
    this.resigned = undefined;
  }

  async stop(): Promise<void> {
    this.open = false;
    clearTimeout(this.timer);
    clearTimeout(this.patience);
    await this.running;
  }

  /**
   * Somebody gave back what is to be ours, and we own it already: "granted SESSION SEQUENCE PARTITION TOKEN ...". It counts as
   * long as no sync was begun after the one with that number: one that was has told the server that we do not hold this, and
   * its answer says what came of it - granted again, or freed because the target had changed by then.
   */
  private given([, session, sequence, ...rest]: readonly string[]): void {
    if (session === undefined || this.host.session()?.id !== session || Number(sequence) !== this.sequence || !this.open) return;
    const grants: Grant[] = [];
    for (let i = 0; i + 1 < rest.length; i += 2) grants.push({ partition: Number(rest[i]), token: Number(rest[i + 1]), from: 'free' });
    this.host.granted(session, grants);
  }

  private settled(): boolean {
    if (this.version === '' || this.released.length > 0) return false;
    const held = this.host.held();
    return held.length === this.target.size && held.every(([partition]) => this.target.has(partition));
  }

  private async run(): Promise<void> {
    try {
      // Without a session there is nothing to wait for; but ended before `sync` has noted it, it would be noted for good.
      await undefined;
      while (this.wanted && this.open) {
        this.wanted = false;
        const session = this.host.session();
        if (!session) {
          this.resigned?.();
          continue;
        }
        try {
          await this.look(session);
        } catch (error) {
          if (!isTransient(error)) this.host.trouble(error as Error);
          this.wanted = true;
          await sleep(isTransient(error) ? RETRY_MS : RETRY_MS * 10);
        }
      }
    } finally {
      this.running = undefined;
    }
  }

  private async look({ id, member }: { id: string; member: string }): Promise<void> {
    const released = [...this.released];
    const known = this.settled() ? this.version : '';
    const held = known === '' ? this.host.held() : [];
    const { leaving } = this;
    const reply = await this.store.sync(id, member, leaving, known, released, held, PLAN_MS, ++this.sequence);
    if (this.host.session()?.id !== id) return;
    if (reply === 'LOST') {
      this.resigned?.();
      return this.host.refused(id);
    }
    if (reply === 'STALE') {
      // Sent twice, by a connection that broke before the answer came: what it said then is known to the server alone.
      this.version = '';
      this.wanted = true;
      return;
    }
    this.released = this.released.filter((item) => !released.includes(item));
    this.host.paused(reply.paused);
    if (reply.changed) {
      this.version = '';
      this.wanted = true;
    }
    this.lookAgainIn(reply.due === 'WAIT' ? PLAN_MS : reply.nextAwayMs);
    if (reply.rows) {
      const { rows } = reply;
      this.version = reply.version; // settled with when all of it is held, and nothing else
      this.target = new Set(rows.filter(({ how }) => how !== 'gone').map(({ partition }) => partition));
      const gone = rows.filter(({ how }) => how === 'gone').map(({ partition }) => partition);
      if (gone.length > 0) this.host.gone(held.filter(([partition]) => gone.includes(partition)));
      const revoked = held.map(([partition]) => partition).filter((partition) => !this.target.has(partition) && !gone.includes(partition));
      // One that leaves lets go by itself, when the others know who is to have what.
      if (revoked.length > 0 && !leaving) this.host.revoke(revoked);
      const grants = rows.flatMap(({ partition, token, how }) => (how === 'free' || how === 'dead' || how === 'regranted' ? [{ partition, token, from: how }] : []));
      if (grants.length > 0) this.host.granted(id, grants);
    }
    if (reply.due === 'PLAN') await this.plan(leaving);
    else if (reply.due === '' && leaving) this.resigned?.();
  }

  private async plan(leaving: boolean): Promise<void> {
    const roster = await this.store.roster();
    const members = [...roster.members.keys()];
    const target = assign(this.store.partitions, members, roster.target);
    this.wanted = true;
    if (!(await this.store.plan(roster.generation, target))) return; // the roster changed meanwhile: look again
    this.version = '';
    if (leaving) {
      this.wanted = this.released.length > 0; // it says nothing to us
      this.resigned?.();
    }
    const { stream, group } = this.store;
    this.events.emit('partition.planned', { stream, group, generation: roster.generation, members: members.length, moved: moved(roster.target, target).length });
  }

  private expectPlan(): void {
    clearTimeout(this.patience);
    if (this.open) this.patience = setTimeout(() => this.sync(), PLAN_MS + 1 + Math.random() * 4);
  }

  private lookAgainIn(ms: number): void {
    clearTimeout(this.timer);
    if (ms >= 0 && this.open) this.timer = setTimeout(() => this.sync(), Math.min(ms, 3_600_000) + 1 + Math.random() * 4);
  }
}
