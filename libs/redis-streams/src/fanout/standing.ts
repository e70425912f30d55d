import type { WireMessage } from '../kernel/room-wire.js';
import { sleep } from '../redis/sleep.js';
import type { SeatMode } from './occupants.js';

const RETRY_MS = 200;

/** What joining a room says: where its messages begin, and the one it owes already, because the answer to an earlier try was lost. */
export interface Admission {
  readonly after: number;
  readonly owed: WireMessage | undefined;
}

/** The steps into a room and out of it. */
export interface RoomSteps {
  /** Hears the room's channel from then on. */
  hear(room: string, listener: (text: string) => void): Promise<void>;
  deafen(room: string): void;
  join(room: string, sync: boolean): Promise<Admission>;
  leave(room: string): Promise<void>;
}

export interface StandingHost {
  /** What it shall be. */
  wanted(): SeatMode;
  /** As `wanted`, after a step that takes the process out of what the room waits for. */
  without(): SeatMode;
  /** Of the room's channel. */
  heard(text: string): void;
  /** The mode is what was wanted; `after`: just changed, and for whom waits here messages begin behind this; `fresh`: it was out before. */
  arrived(after?: number, fresh?: boolean): void;
  /** What was said while a step was under way. */
  shown(message: WireMessage): void;
  /** Out of the room's waiting: the current message is nothing to us any more. */
  excused(): void;
  /** Nothing is wanted and nothing is under way. */
  idle(): void;
  trouble(error: Error): void;
}

/**
 * What a process is in one room, as the server sees it. It follows what is wanted step by step, so that joins, leaves and
 * ejections that meet cannot leave it halfway; a step that fails is repeated, and all of them may be.
 */
export class Standing {
  private current: SeatMode = 'out';
  /** The next step leads out, whatever comes after. */
  private leaving = false;
  /** What the server notes of us may be something else: an answer was lost, or a word of it was older than our last step. */
  private doubtful = false;
  private hearing = false;
  private early: WireMessage[] | undefined;
  private settling: Promise<void> | undefined;
  private changed = false;
  private closed = false;
  /** Made for whoever sleeps: of rooms there are thousands. */
  private sleeping: AbortController | undefined;

  constructor(
    private readonly room: string,
    private readonly server: RoomSteps,
    private readonly host: StandingHost,
  ) {}

  get mode(): SeatMode {
    return this.current;
  }

  /** On the way out: what the room waits for will be accounted for as not acknowledged. */
  get isDemoted(): boolean {
    return this.leaving;
  }

  get isClosed(): boolean {
    return this.closed;
  }

  demote(): void {
    this.leaving = true;
  }

  /** The server has taken us out. */
  lost(): void {
    this.current = 'out';
    this.doubtful = true;
    this.early = undefined;
  }

  /** Keeps it for after the step that is under way, whose answer decides what it is to us. @returns false when there is none */
  keep(message: WireMessage): boolean {
    this.early?.push(message);
    return this.early !== undefined;
  }

  close(): void {
    this.closed = true;
    this.sleeping?.abort();
  }

  /** Makes the server's view follow. Resolves when it does. */
  look(): Promise<void> {
    this.changed = true;
    return (this.settling ??= this.settle());
  }

  private async settle(): Promise<void> {
    const { host } = this;
    await Promise.resolve();
    for (let failures = 0; this.changed && !this.isClosed; ) {
      this.changed = false;
      try {
        const to = this.leaving ? host.without() : host.wanted();
        if (to !== this.current || this.leaving || this.doubtful) await this.step(to);
        if (this.leaving || this.doubtful || host.wanted() !== this.current) this.changed = true;
        else host.arrived();
        failures = 0;
      } catch (error) {
        this.releaseEarly();
        if (this.isClosed) break;
        host.trouble(error as Error);
        this.changed = true;
        this.sleeping = new AbortController();
        await sleep(Math.min(RETRY_MS * 2 ** Math.min(failures++, 5), 5_000) * (0.5 + Math.random() / 2), this.sleeping.signal);
        this.sleeping = undefined;
      }
    }
    this.settling = undefined;
    if (this.isClosed || host.wanted() !== 'out') return;
    if (this.hearing) this.server.deafen(this.room);
    this.hearing = false;
    host.idle();
  }

  private async step(to: SeatMode): Promise<void> {
    const { room, server, host } = this;
    if (to === 'out') {
      // Also when we think that we are out: as a member that nobody here knows of we would hold the room up.
      if (this.current !== 'out' || this.doubtful) await server.leave(room);
      this.current = 'out';
      this.leaving = this.doubtful = false;
      return host.excused();
    }
    if (!this.hearing) {
      await server.hear(room, (text) => host.heard(text));
      this.hearing = true;
    }
    this.early = [];
    this.doubtful = true;
    const { after, owed } = await server.join(room, to === 'sync');
    if (!this.early) return; // the session was lost meanwhile
    if (to === 'async') host.excused();
    const fresh = this.current === 'out';
    this.current = to;
    this.leaving = this.doubtful = false;
    host.arrived(after, fresh);
    if (owed) host.shown(owed);
    this.releaseEarly();
  }

  private releaseEarly(): void {
    const { early } = this;
    this.early = undefined;
    for (const message of early ?? []) this.host.shown(message);
  }
}
