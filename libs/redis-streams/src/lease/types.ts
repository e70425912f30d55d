import type { AbortReason } from '../errors/index.js';

/** What a producer may attach to a stream: any JSON object. */
export type StreamInfo = Record<string, unknown>;

/** One entry of a data stream. `fields` has no prototype, so a field may have any name. */
export interface StreamEntry {
  readonly id: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** Options of {@link StreamLease.entries}. */
export interface EntriesOptions {
  /** Read entries after this id. Default: the checkpoint, else the beginning. */
  readonly after?: string;
  /** Entries fetched per read. Default 100. */
  readonly batch?: number;
  /** End the iteration when the stream has stayed empty this long (ms). Default: never, wait for more. 0 ends at the first empty read. */
  readonly idleMs?: number;
}

/**
 * A whole data stream, owned by this process until it is done, lost or handed over.
 * The handler's promise resolving means done (with `settle: 'auto'`); throwing means retry.
 */
export interface StreamLease<Info extends object = StreamInfo> {
  readonly service: string;
  /** Name (Redis key) of the data stream. */
  readonly stream: string;
  /** The producer's `Info` object. */
  readonly info: Info;
  /** Fencing token: strictly increasing per stream (server microseconds). Pass it to your own store. */
  readonly token: number;
  /** 1 for the first grant; counts every further grant after a failure or a takeover. */
  readonly attempt: number;
  /** True when the stream was taken over from an owner that died or hung. */
  readonly recovered: boolean;
  /** Session id of the owner before this one, if there was one. */
  readonly previousOwner?: string;
  /** Session id of this owner: `name:incarnation`. */
  readonly owner: string;
  /** Id of the announcement in the LBS stream. */
  readonly entryId: string;
  /** Last checkpointed entry id, by this or an earlier owner. */
  readonly lastCheckpoint?: string;
  /** Fires when ownership ends early; `signal.reason` is a LeaseAbortedError. */
  readonly signal: AbortSignal;
  /** Entries of the data stream in order from the checkpoint on. Throws LeaseAbortedError when the lease is aborted. */
  entries(options?: EntriesOptions): AsyncIterableIterator<StreamEntry>;
  /** Records how far the stream has been processed. @throws FencedError when the lease has been lost. */
  checkpoint(entryId: string): Promise<void>;
  /** Completes the stream. @throws FencedError when the lease has been lost: the work was not accepted. */
  done(): Promise<void>;
  /** Gives the stream back to any consumer, now. Not counted as a failure. @throws FencedError */
  release(): Promise<void>;
  /** Moves the announcement to the dead-letter stream. @throws FencedError */
  deadLetter(reason: string): Promise<void>;
}

/** Raised with `claim: 'manual'` on every live consumer when an owner has died. */
export interface ExpiredStream {
  readonly service: string;
  readonly stream: string;
  readonly entryId: string;
  /** Session id of the dead owner. */
  readonly previousOwner: string;
  /** The dead owner's token. */
  readonly token: number;
  /** Take it over; the assigned handler then runs with it. @throws AlreadyClaimedError when somebody else was first. */
  claim(): Promise<void>;
}

/** Raised on the old owner when its ownership has ended without it. */
export interface DisownedStream {
  readonly service: string;
  readonly stream: string;
  readonly entryId: string;
  readonly token: number;
  readonly owner: string;
  readonly reason: AbortReason;
}

/** Raised when a consumer's loop has ended. */
export interface TerminatedConsumer {
  readonly service: string;
  readonly consumer: string;
  readonly reason: 'closed' | 'name-in-use' | 'failed';
  readonly error?: Error;
}

/** The functions a lease consumer calls; in a Nest app, the decorated methods. */
export interface LeaseHandlers {
  assigned(lease: StreamLease): unknown;
  expired?(event: ExpiredStream): unknown;
  disowned?(event: DisownedStream): unknown;
  terminated?(event: TerminatedConsumer): unknown;
}

export type LeaseState = 'queued' | 'held' | 'expired' | 'retrying' | 'released';

/** One row of `LeaseService.list`. */
export interface LeaseView {
  readonly stream: string;
  readonly entryId: string;
  readonly state: LeaseState;
  /** Session id of the owner; for `retrying` and `released`, of the last one. */
  readonly owner?: string;
  readonly token: number;
  readonly attempt: number;
  /** Failures in a row without progress. */
  readonly failures: number;
  /** Milliseconds (server clock) since the present state was entered. */
  readonly ageMs: number;
  readonly checkpoint?: string;
}

/** One consumer session as the server sees it. */
export interface LeaseMember {
  readonly session: string;
  readonly live: boolean;
  readonly held: number;
  readonly capacity: number;
  /** Milliseconds until its deadline; negative when past. */
  readonly deadlineInMs: number;
}

/** What `LeaseService.stats` answers: one atomic look at a service. */
export interface LeaseStats {
  readonly service: string;
  /** Announced, never yet delivered. */
  readonly undelivered: number;
  /** Owned by a live session. */
  readonly held: number;
  /** Owned by a dead session, waiting to be taken over. */
  readonly expired: number;
  /** Waiting for a consumer after a release or a failure. */
  readonly free: number;
  /** Second announcements that wait for the first to end. */
  readonly followUps: number;
  readonly deadLetters: number;
  readonly members: readonly LeaseMember[];
}

export type AnnounceStatus = 'announced' | 'duplicate';

export interface AnnounceResult {
  readonly status: AnnounceStatus;
  /** LBS entry id: of the new announcement, or of the open one that made this a duplicate. */
  readonly id: string;
}

export interface Announcement {
  readonly stream: string;
  readonly info?: StreamInfo;
}

export interface AnnounceOptions {
  /**
   * `queued` (default): an announcement still waiting for its first owner absorbs this one; while the stream is
   * owned, it is announced again and runs once more afterwards (so that data written late is never missed).
   * `open`: any open announcement or lease absorbs it. `off`: always announce.
   */
  readonly dedupe?: 'queued' | 'open' | 'off';
}
