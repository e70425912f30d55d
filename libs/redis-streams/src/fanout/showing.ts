import { RedisStreamsError } from '../errors/index.js';
import { detached } from '../kernel/characters.js';
import { decodePayload, type WireMessage } from '../kernel/room-wire.js';
import type { ErrorContext } from '../options.js';
import { sleep } from '../redis/sleep.js';
import type { ShownMessage, Subscriber } from './subscriber.js';

export interface ShowingHost {
  /** `again`: it was said before. @returns false: this process is no member of the room any more */
  acknowledge(turn: number, ejected: readonly string[], again: boolean): Promise<boolean>;
  isCurrent(showing: Showing): boolean;
  expelled(): void;
  onError(error: Error, context: ErrorContext): void;
}

const NOBODY = new Set<Subscriber>();

/** A room's current message in this process: whom it waits for, and the one acknowledgement for all of them. */
export class Showing {
  readonly id: string;
  /** Local subscribers ejected over it. */
  readonly ejected: string[] = [];
  /** Somebody here has. */
  acknowledged = false;
  private isDone = false;

  constructor(
    private readonly room: string,
    id: string,
    readonly turn: number,
    private shown: ShownMessage | undefined,
    /** Not to be added to once it is done. */
    public waiting: Set<Subscriber>,
    private readonly host: ShowingHost,
  ) {
    this.id = detached(id);
  }

  /** Undefined: it cannot be read, and is acknowledged for what it is; or it is done, and nobody is to be shown it. */
  get message(): ShownMessage | undefined {
    return this.shown;
  }

  get done(): boolean {
    return this.isDone;
  }

  /** Nobody here owes anything any more. */
  finish(tell: boolean): void {
    if (this.isDone) return;
    this.isDone = true;
    // Until the next one comes it is known by its number only: a room may be silent for days.
    this.shown = undefined;
    this.waiting = NOBODY;
    if (tell) void this.tell(false);
  }

  /** Tells the server, again and again while it is away. */
  async tell(again = true): Promise<void> {
    for (let failures = 0; this.host.isCurrent(this); failures++) {
      try {
        const isMember = await this.host.acknowledge(this.turn, this.ejected, again || failures > 0);
        if (!isMember && this.host.isCurrent(this)) this.host.expelled();
        return;
      } catch (error) {
        if (error instanceof RedisStreamsError && !error.retriable) return this.host.onError(error, { room: this.room, during: `acknowledging message ${this.id}` });
        await sleep(Math.min(200 * 2 ** failures, 5_000) * (0.5 + Math.random() / 2));
      }
    }
  }
}

/** @throws SyntaxError when it cannot be read */
export function shownMessage(room: string, { id, priority, redelivery, sentAt, payload }: WireMessage, outOfBand: boolean): ShownMessage {
  return { room, id, priority, redelivery, sentAt, outOfBand, ...decodePayload(payload) };
}
