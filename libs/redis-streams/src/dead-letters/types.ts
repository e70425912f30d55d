import type { Headers } from '../handling/headers.js';

/** Where dead letters lie. */
export type DeadLetterSource =
  | { readonly kind: 'lease'; readonly service: string }
  /** `namespace`: default the option `partition.namespace`. */
  | { readonly kind: 'partition'; readonly stream: string; readonly group: string; readonly namespace?: string }
  /** Of all rooms, or of one. */
  | { readonly kind: 'fanout'; readonly room?: string }
  /** Of all groups, or of one. */
  | { readonly kind: 'queue'; readonly queue: string; readonly group?: string; readonly namespace?: string };

export type DeadLetterKind = DeadLetterSource['kind'];

/** What is particular to a kind of dead letter. Undefined: it was not recorded. */
export interface DeadLetterDetails {
  /** `id`: of the announcement. `failures`: of its handler in a row; `token`, `checkpoint`: the last owner's. */
  readonly lease: { readonly stream: string | undefined; readonly id: string | undefined; readonly failures: number; readonly owner: string | undefined; readonly token: number | undefined; readonly checkpoint: string | undefined };
  /** `id`: of the message in its partition. */
  readonly partition: { readonly partition: number; readonly id: string | undefined; readonly owner: string | undefined; readonly token: number | undefined };
  /** `who`: sessions and subscribers that went away over it. */
  readonly fanout: { readonly room: string; readonly id: string | undefined; readonly priority: number; readonly sentAt: number | undefined; readonly who: readonly string[] };
  /** `id`: of the message in its shard; `sentId`: the one its sender gave it. */
  readonly queue: { readonly group: string | undefined; readonly id: string | undefined; readonly sentId: string | undefined; readonly owner: string | undefined };
}

/** What was given up, and why; the same for every capability. */
export interface DeadLetter<K extends DeadLetterKind = DeadLetterKind> {
  readonly kind: K;
  /** "shard:id": its place in the source; names it for `get`, `replay`, `purge` and `after`. */
  readonly entryId: string;
  readonly reason: string;
  /** Message of the last error; '' where there was none. */
  readonly error: string;
  /** How often it was handed out. */
  readonly attempts: number;
  /** When it was given up, in server milliseconds. */
  readonly at: number;
  /** The message's key; of a lease its data stream, of a room's message the room. */
  readonly key: string | undefined;
  /** What the handler would be given: the data, or the `info` of an announcement. Undefined when it cannot be read. */
  readonly data: unknown;
  /** Whether `data` could be read; if not, `fields` have it as it was. */
  readonly readable: boolean;
  readonly headers: Headers;
  readonly details: DeadLetterDetails[K];
  /** Everything recorded, as it stands in Redis; the entry's own fields as `entry.<field>`. */
  readonly fields: Readonly<Record<string, string>>;
}

/** All that is given must hold. */
export interface DeadLetterFilter {
  readonly reason?: string | readonly string[];
  readonly key?: string | readonly string[];
  /** Given up at this moment or later. */
  readonly since?: Date | number;
  /** Given up before this moment. */
  readonly until?: Date | number;
  /** Whatever else; asked last. */
  readonly where?: (letter: DeadLetter) => boolean;
}

export interface DeadLetterQuery {
  /** Default `newest`. */
  readonly order?: 'newest' | 'oldest';
  /** Go on behind this letter: the `next` of the page before. */
  readonly after?: string;
  /** Letters at most. Default 100. */
  readonly limit?: number;
  readonly filter?: DeadLetterFilter;
}

export interface DeadLetterPage<K extends DeadLetterKind = DeadLetterKind> {
  readonly letters: ReadonlyArray<DeadLetter<K>>;
  /** For `after`, if there may be more. */
  readonly next: string | undefined;
}

/** One id, some, or all that a filter lets through (oldest first), of those there were at the call. */
export type DeadLetterSelection = string | readonly string[] | { readonly filter?: DeadLetterFilter; readonly limit?: number };

export interface DeadLetterWork {
  /** Who asks for it, for the event and the log. Default: this process's consumer name. */
  readonly by?: string;
}

export interface ReplayOptions extends DeadLetterWork {
  /** Letters per second at most. Default: as fast as it goes. */
  readonly perSecond?: number;
}

/**
 * Why a letter stayed where it was. `gone`: there is none of that id (any more). `already-open`: its stream is announced or owned.
 * `full`: no room for another message where it came from. `no-group`: the group it is for is not there (any more), and others would pass over it. `unreadable`: it says too little to be put back. `unusable`: the
 * partition's key holds no stream, or a key of the room is something else.
 */
export type ReplaySkipReason = 'gone' | 'already-open' | 'full' | 'no-group' | 'unreadable' | 'unusable';

export interface ReplayResult {
  readonly replayed: number;
  readonly skipped: ReadonlyArray<{ readonly entryId: string; readonly reason: ReplaySkipReason }>;
}
