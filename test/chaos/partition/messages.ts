import type { ConnectionOptions, PartitionTuning } from 'nestjs-redis-streams/partition';

/** How a worker takes its messages: by itself or in batches, acknowledged by the handler's return or by hand. */
export type Mode = 'auto' | 'manual' | 'batch';

/** What a worker is started with, as JSON in its only argument. */
export interface PartitionWorkerConfig {
  /** Its consumer name; another process may have had it before. */
  readonly name: string;
  /** Never used before: what the ledger calls it. */
  readonly label: string;
  readonly stream: string;
  readonly group: string;
  readonly connection: ConnectionOptions;
  /** Server whose TIME the worker's clock is compared with. */
  readonly clockPort: number;
  readonly ledgerPort: number;
  readonly ttlMs: number;
  readonly mode: Mode;
  readonly tuning: PartitionTuning;
  /** Loads everything, says so, and begins when it is told to. */
  readonly onCall?: boolean;
}

/** How a poisonous message ends its process. */
export type Poison = 'SIGKILL' | 'exit' | 'uncaught';

/** What a message tells its handler to do. */
export interface Task {
  readonly key: string;
  /** Position within its key, from 1 on; 0 for poison, which has no effect and no place in the count. */
  readonly seq: number;
  readonly workMs: number;
  readonly poison?: Poison;
}

export type Command = { readonly type: 'stop' } | { readonly type: 'start' };

/** Times are server milliseconds (see clock.ts). */
export type Report =
  | { readonly type: 'loaded' }
  | { readonly type: 'ready'; readonly session: string; readonly at: number }
  | { readonly type: 'joined'; readonly session: string; readonly at: number }
  | { readonly type: 'left'; readonly at: number }
  | { readonly type: 'terminated'; readonly reason: string }
  | { readonly type: 'trouble'; readonly message: string }
  | { readonly type: 'unhandled'; readonly message: string }
  | { readonly type: 'stopped'; readonly error?: string };
