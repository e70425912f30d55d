import type { EjectReason } from '../errors/index.js';

/** Text that travels with a message. */
export type RoomHeaders = Readonly<Record<string, string>>;

export interface RoomSendOptions {
  /** Lower goes first; equal ones in the order they were sent. Default 0. */
  readonly priority?: number;
  readonly headers?: RoomHeaders;
  /** `queued` (default): resolve when Redis has the message. `acked`: when every sync subscriber has acknowledged it, or was ejected. */
  readonly await?: 'queued' | 'acked';
  /** With `await: 'acked'`: wait so many ms at most from when Redis has the message, else reject with an AckTimeoutError; it stays sent. Default: for ever. */
  readonly timeoutMs?: number;
}

export interface SentRoomMessage {
  readonly room: string;
  readonly id: string;
}

/** What `await: 'acked'` resolves with. */
export interface AckedRoomMessage extends SentRoomMessage {
  /** Processes that have acknowledged. */
  readonly acknowledged: number;
  /** Who owed an acknowledgement and left or was ejected instead: sessions, and local subscribers of processes that did acknowledge. */
  readonly ejected: readonly string[];
}

/** A message as a subscriber sees it. */
export interface RoomMessage<T = unknown> {
  readonly room: string;
  readonly id: string;
  readonly data: T;
  readonly headers: RoomHeaders;
  readonly priority: number;
  /** Sent beside the order: nobody waits for it, and it is not kept. */
  readonly outOfBand: boolean;
  /** Server milliseconds; 0 for one out of band. */
  readonly sentAt: number;
  /** 1 at the first call of this handler with it. */
  readonly attempt: number;
  /** How often it was shown before, to subscribers that all went away over it. */
  readonly redelivery: number;
}

/** Second argument of a handler, and `@Ctx()`. */
export interface RoomContext<T = unknown> extends RoomMessage<T> {
  /** Who gets it: unique over all processes. */
  readonly subscriber: string;
  /** Aborts with a RoomEjectedError when the room does not wait for this handler any more. */
  readonly signal: AbortSignal;
  /** Acknowledges. Needed with `ack: 'manual'`; otherwise the handler's return does it. Again, or too late: nothing. */
  ack(): void;
}

export interface EjectedSubscriber {
  readonly room: string;
  readonly subscriber: string;
  readonly reason: EjectReason;
  /** The message it has not acknowledged, if it was one. */
  readonly messageId: string | undefined;
  /** It is subscribed again, from the next message on; what was shown between, it has missed. */
  readonly rejoins: boolean;
}

export interface JoinedRoom {
  readonly room: string;
  readonly subscriber: string;
}

export type RoomHandler = (data: unknown, context: RoomContext) => unknown;

export interface RoomHooks {
  /** Subscribed: this subscriber's first message is the next one released. Failures are reported as `hook.error`. */
  joined?(event: JoinedRoom): unknown;
  ejected?(event: EjectedSubscriber): unknown;
}

export interface RoomHandlers extends RoomHooks {
  readonly message: RoomHandler;
}

/** A subscription made by `join`. */
export interface RoomSubscription {
  readonly room: string;
  readonly subscriber: string;
  /** False after `leave`, after an ejection that it does not come back from, and after the end. */
  readonly active: boolean;
  /** Stops: no further message is shown; one that runs is aborted, and nobody waits for it. Resolves when Redis knows. */
  leave(): Promise<void>;
}

export interface RoomMember {
  /** A process's session. */
  readonly session: string;
  readonly sync: boolean;
  /** Server milliseconds of its last heartbeat; undefined: it is dead and will be ejected. */
  readonly lastSeen: number | undefined;
  /** It has not yet acknowledged the current message. */
  readonly owes: boolean;
}

export interface RoomState {
  readonly room: string;
  /** Messages that wait behind the current one. */
  readonly backlog: number;
  readonly current: (PeekedMessage & { /** Server milliseconds after which those who have not acknowledged it are ejected. */ readonly deadline: number }) | undefined;
  readonly members: readonly RoomMember[];
  /** Members that the room waits for. */
  readonly owing: readonly string[];
}

/** A message that waits. */
export interface PeekedMessage {
  readonly id: string;
  readonly priority: number;
  /** Server milliseconds. */
  readonly sentAt: number;
  readonly redelivery: number;
  readonly data: unknown;
  readonly headers: RoomHeaders;
}

export interface FanoutMetrics {
  /** Rooms that have members or messages, over all shards. */
  readonly rooms: number;
  /** Rooms this process is subscribed to. */
  readonly subscribedRooms: number;
  /** Local subscribers in this process. */
  readonly subscribers: number;
  /** Messages shown to this process since its start. */
  readonly received: number;
  /** Received ones that nobody who speaks this protocol has written. */
  readonly invalid: number;
  /** From the send to the arrival in this process, in ms of the server's clock; undefined before the first message. */
  readonly latencyMs: { readonly min: number; readonly mean: number; readonly p50: number; readonly p99: number; readonly max: number } | undefined;
  /** The rooms with the most waiting messages first. */
  readonly topRooms: ReadonlyArray<{ readonly room: string; readonly backlog: number }>;
}
