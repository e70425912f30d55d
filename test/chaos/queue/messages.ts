import type { ConnectionOptions, QueueProducerOptions, QueueTuning } from './library.js';

interface WorkerConfig {
  /** Never used before: what the ledger calls it. */
  readonly label: string;
  readonly queue: string;
  readonly connection: ConnectionOptions;
  readonly ledgerPort: number;
  readonly commandTimeoutMs: number;
}

/** What a producer is started with, as JSON in its only argument. */
export interface ProducerConfig extends WorkerConfig {
  /** Messages are known by their producer's number and their own. */
  readonly producer: number;
  readonly options: QueueProducerOptions;
  /** Sends so many at this rate; without a rate as fast as Redis takes them. Without a total: until told to hold. */
  readonly total?: number;
  readonly perSecond?: number;
  /** Sends that may be open at once; beyond, it waits, but for the last so many. Default: no bound but the library's. */
  readonly window?: number;
  /** Drawn between 0 and this: how long a message's handler takes. */
  readonly maxWorkMs: number;
  /** Characters of ballast in each message. */
  readonly ballast: number;
  /** They are of three bytes each. */
  readonly wide?: boolean;
  readonly seed: number;
  /** Of every eight messages three are plain; others have a key, an id, a delay, or all of these. Some of those with an id are sent twice. */
  readonly mixed?: boolean;
  /** What it does once it has called `send` for all: wait for a command, or close with this much time. */
  readonly closeMs?: number;
  /** Kills itself as soon as so many sends have resolved. */
  readonly dieAt?: number;
}

/** What a consumer is started with. */
export interface ConsumerConfig extends WorkerConfig {
  /** Its consumer name; another process may have had it before. */
  readonly name: string;
  readonly group: string;
  readonly ttlMs: number;
  readonly tuning: QueueTuning;
}

/** What a message carries. */
export interface Task {
  readonly p: number;
  readonly n: number;
  readonly workMs: number;
  readonly ballast?: string;
}

export type Command =
  /** Sends no more, waits until all is settled, reports `held`. */
  | { readonly type: 'hold' }
  | { readonly type: 'close'; readonly timeoutMs: number }
  | { readonly type: 'status' }
  /** To a consumer: what it has at present. */
  | { readonly type: 'hands' }
  | { readonly type: 'stop' };

export interface Counts {
  readonly called: number;
  readonly resolved: number;
  readonly rejected: number;
}

export interface Status extends Counts {
  /** Most sends that were open at once, and most memory, since the last status. */
  readonly open: number;
  readonly rssBytes: number;
}

export type Report =
  | { readonly type: 'ready' }
  | { readonly type: 'held' }
  | ({ readonly type: 'status' } & Status)
  /** Sends that were open when it was told to close; of two calls of `close`: how long, what they said; and what a send after it was rejected with. */
  | ({ readonly type: 'closed'; readonly open: number; readonly ms: number; readonly againMs: number; readonly unsent: number; readonly againUnsent: number; readonly afterwards: string } & Counts)
  | { readonly type: 'hands'; readonly held: number; readonly running: number; readonly sessions: readonly string[] }
  | { readonly type: 'joined' | 'lost'; readonly session: string }
  | { readonly type: 'terminated'; readonly reason: string }
  | { readonly type: 'trouble'; readonly message: string }
  | { readonly type: 'unhandled'; readonly message: string }
  | { readonly type: 'stopped'; readonly error?: string };
