import type { ConnectionOptions, LeaseTuning } from 'nestjs-redis-streams/lease';

/** What a worker is started with, as JSON in its only argument. */
export interface WorkerConfig {
  readonly name: string;
  readonly service: string;
  readonly connection: ConnectionOptions;
  /** Server whose TIME the worker's clock is compared with: reached directly, never through a proxy. */
  readonly clockPort: number;
  readonly ttlMs: number;
  readonly lease?: LeaseTuning;
  readonly ledgerPort?: number;
  /** Tells nothing of single runs, for thousands of leases; `tally` sums them up. */
  readonly quiet?: boolean;
  /** A steady trickle of checkpoints on every held lease, so that a pause catches settles on their way. */
  readonly checkpointEveryMs?: number;
}

/** What the announcement's Info tells the handler to do. */
export interface Work {
  /** Work this long, then complete. Absent: hold the stream until aborted or told to finish. */
  readonly workMs?: number;
  /** Ignores the signal, goes on and tries to complete all the same. */
  readonly stubborn?: boolean;
}

export type Command =
  | { readonly type: 'stop' }
  | { readonly type: 'block'; readonly ms: number }
  | { readonly type: 'finish' }
  | { readonly type: 'tally' }
  | { readonly type: 'stall' }
  /** Try to settle every lease this worker has held and not completed, aborted ones above all. */
  | { readonly type: 'probe'; readonly id: number };

/** Times are the machine's wall clock in ms, brought onto the server's clock by the worker (see clock.ts). */
export type Report =
  | { readonly type: 'ready' }
  | { readonly type: 'joined'; readonly session: string; readonly at: number }
  | { readonly type: 'lost'; readonly session: string; readonly why: string; readonly at: number }
  | {
    readonly type: 'run'; readonly stream: string; readonly entryId: string; readonly token: number; readonly attempt: number;
    readonly recovered: boolean; readonly owner: string; readonly previousOwner?: string; readonly at: number;
  }
  | { readonly type: 'aborted'; readonly stream: string; readonly token: number; readonly reason: string; readonly at: number }
  | { readonly type: 'settled'; readonly stream: string; readonly token: number; readonly operation: string; readonly ok: boolean; readonly at: number }
  | { readonly type: 'trouble'; readonly message: string; readonly at: number }
  | { readonly type: 'unhandled'; readonly message: string }
  | { readonly type: 'tallied'; readonly held: number; readonly runs: number; readonly lastRunAt: number; readonly owned: number }
  | { readonly type: 'stalled'; readonly maxMs: number }
  | { readonly type: 'unblocked' }
  | { readonly type: 'probed'; readonly id: number; readonly tried: number; readonly accepted: readonly string[] }
  | { readonly type: 'stopped'; readonly error?: string };

export type ReportOf<T extends Report['type']> = Extract<Report, { type: T }>;

export function isReport<T extends Report['type']>(type: T): (report: Report) => report is ReportOf<T> {
  return (report): report is ReportOf<T> => report.type === type;
}
