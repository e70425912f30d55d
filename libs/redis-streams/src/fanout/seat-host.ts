import type { WireMessage } from '../kernel/room-wire.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { ErrorContext } from '../options.js';
import type { Manner } from './answering.js';
import type { Seat } from './seat.js';
import type { RoomSteps } from './standing.js';

/** What a seat needs of its shard. */
export interface SeatHost extends RoomSteps {
  readonly events: RedisStreamsEvents;
  /** The live session by which the server knows this process. */
  session(): string | undefined;
  /** Unless it is asked for an answer, the room's next message is to be one (`passed`). @returns false: this process is no member of the room any more */
  acknowledge(room: string, turn: number, ejected: readonly string[], manner: Manner): Promise<boolean>;
  /** The room has not taken the acknowledgement of this turn. */
  again(room: string, turn: number): void;
  /** The room shows its next message. */
  passed(room: string): void;
  received(message: WireMessage): void;
  invalid(): void;
  /** Nobody here wants the room any more. */
  empty(seat: Seat): void;
  onError(error: Error, context: ErrorContext): void;
}
