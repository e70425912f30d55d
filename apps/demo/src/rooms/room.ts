/** Rooms that the scenario plays in: an edge each, which moves in lock-step. */
export const ROOMS: readonly string[] = ['arena', 'lobby', 'market'];

/** Where the gateway takes web sockets. */
export const ROOMS_PATH = '/rooms';

/** A client that has not acknowledged for so long is ejected, alone, and its room goes on. */
export const ACK_TIMEOUT_MS = 1_000;

/** What the ticker sends to a room. */
export interface Tick {
  /** Counts from 1 in every room. */
  readonly tick: number;
  /** Its sender's clock, before it was sent. */
  readonly at: number;
  /** Sessions and subscribers that the tick before went on without: they owed an acknowledgement and were ejected. */
  readonly without: readonly string[];
}

/** What goes out of band. */
export interface Urgent {
  readonly text: string;
  readonly at: number;
}

/** Web socket, client to server. */
export type ClientMessage =
  | { readonly event: 'join'; readonly data: { readonly room: string } }
  | { readonly event: 'ack'; readonly data: { readonly id: string } };

/** Web socket, server to client. */
export type ServerMessage =
  | { readonly event: 'joined'; readonly data: { readonly room: string; readonly subscriber: string; /** The server's clock. */ readonly at: number } }
  | { readonly event: 'tick'; readonly data: Tick & { readonly id: string } }
  | { readonly event: 'urgent'; readonly data: Urgent }
  | { readonly event: 'ejected'; readonly data: { readonly reason: string } };
