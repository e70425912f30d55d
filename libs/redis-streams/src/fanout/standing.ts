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
  /** Stays in, and is not waited for any more with the message of that turn. @returns false: it is no member any more */
  forgo(room: string, turn: number): Promise<boolean>;
}

export interface StandingHost {
  /** What it shall be. */
  wanted(): SeatMode;
  /** Of the room's channel. */
  heard(text: string): void;
  /** The mode is what was wanted; `after`: just changed, and for whom waits here messages begin behind this; `fresh`: it was out before. */
  arrived(after?: number, fresh?: boolean): void;
  /** What was said while a step was under way. */
  shown(message: WireMessage): void;
  /** The room does not wait for us with the message of that turn; default: with any. */
  excused(turn?: number): void;
  /** The room went on without us. */
  expelled(): void;
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
  /** The turn of a message that nobody here sees through. It is accounted for as not acknowledged, whoever has come since. */
  private forgone: number | undefined;
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

  forgoes(turn: number): boolean {
    return this.forgone === turn;
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** One at a time: the room shows no other message before it is done with this one. */
  forgo(turn: number): void {
    this.forgone = turn;
  }

  /** The server has taken us out. */
  lost(): void {
    this.current = 'out';
    this.doubtful = true;
    this.early = this.forgone = undefined;
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
        const to = host.wanted();
        if (to !== this.current || this.doubtful) await this.step(to);
        else if (this.forgone !== undefined) await this.stepAside(this.forgone);
        if (this.forgone !== undefined || this.doubtful || host.wanted() !== this.current) this.changed = true;
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
      if (this.current !== 'out' || this.doubtful) {
        // Until it is answered: whoever joins here before it is said again may meet a room that has let us go.
        this.doubtful = true;
        await server.leave(room);
      }
      this.current = 'out';
      this.doubtful = false;
      return this.excused();
    }
    if (!this.hearing) {
      await server.hear(room, (text) => host.heard(text));
      this.hearing = true;
    }
    this.early = [];
    this.doubtful = true;
    const { after, owed } = await server.join(room, to === 'sync');
    if (!this.early) return; // the session was lost meanwhile
    if (to === 'async') this.excused();
    const fresh = this.current === 'out';
    this.current = to;
    this.doubtful = false;
    host.arrived(after, fresh);
    if (owed) host.shown(owed);
    this.releaseEarly();
  }

  /**
   * Not out and in again: between two steps the room would show others what those who are here now were promised. May be
   * repeated, also when the room shows its next message already: which one is meant the turn says.
   */
  private async stepAside(turn: number): Promise<void> {
    if (await this.server.forgo(this.room, turn)) {
      if (this.forgone === turn) this.forgone = undefined;
      return this.host.excused(turn);
    }
    this.host.expelled();
    this.lost();
  }

  private excused(): void {
    this.forgone = undefined;
    this.host.excused();
  }

  private releaseEarly(): void {
    const { early } = this;
    this.early = undefined;
    for (const message of early ?? []) this.host.shown(message);
  }
}
