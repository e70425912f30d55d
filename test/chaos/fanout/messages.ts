import type { ConnectionOptions } from 'nestjs-redis-streams/fanout';

/** What a worker subscribes to in one room. */
export interface Place {
  readonly room: string;
  /** Local sync subscribers. */
  readonly sync: number;
  /** Local ones that only listen. */
  readonly async: number;
  /** Messages of the room are all of one priority, so that one with a lower number is over for good. */
  readonly plain: boolean;
}

/** How often, out of 1,000 messages shown to one subscriber. */
export interface Mischief {
  /** Acknowledged again at once, again later, or again under the turns of earlier and of foreign messages, straight to the server. */
  readonly acks: number;
  /** Not acknowledged in time. */
  readonly stalls: number;
  /** The handler throws at its first attempt. */
  readonly throws: number;
  /** Subscribers leave and join again at random. */
  readonly churn: boolean;
}

/** What a worker begins with. */
export interface FanoutWorkerConfig {
  /** Its consumer name; another process may have had it before. */
  readonly name: string;
  /** Never used before: what the ledger calls it. */
  readonly label: string;
  readonly seed: number;
  readonly connection: ConnectionOptions;
  /** Past all proxies. */
  readonly direct: ConnectionOptions;
  /** Server whose TIME the worker's clock is compared with. */
  readonly clockPort: number;
  readonly ledgerPort: number;
  readonly ttlMs: number;
  readonly commandTimeoutMs: number;
  readonly shards: number;
  /** Of one subscriber. */
  readonly ackTimeoutMs: number;
  /** Of the room itself. */
  readonly roomTimeoutMs: number;
  readonly places: readonly Place[];
  readonly mischief: Mischief;
}

export type Command = { readonly type: 'begin'; readonly config: FanoutWorkerConfig } | { readonly type: 'stop' };

/** What a message carries. */
export interface Tick { readonly n: number }

/** Counters of what a worker did that it should not. */
export interface Deeds { twice: number; late: number; old: number; foreign: number; stalls: number; throws: number; joins: number; leaves: number; overlaps: number }

export const noDeeds = (): Deeds => ({ twice: 0, late: 0, old: 0, foreign: 0, stalls: 0, throws: 0, joins: 0, leaves: 0, overlaps: 0 });

export type Report =
  | { readonly type: 'ready' }
  | { readonly type: 'joined'; readonly session: string; readonly scope: string }
  | { readonly type: 'deeds'; readonly deeds: Deeds }
  /** The server took an acknowledgement that was none of its business. */
  | { readonly type: 'taken'; readonly what: string }
  /** Mischief that failed, and not for want of a connection. */
  | { readonly type: 'failed'; readonly what: string }
  | { readonly type: 'trouble'; readonly message: string }
  | { readonly type: 'unhandled'; readonly message: string }
  | { readonly type: 'stopped'; readonly error?: string };
