import type { StreamLease } from 'nestjs-redis-streams/lease';
import type { LedgerClient } from '../support/ledger.js';
import { START } from './judge.js';
import type { Report, Work, WorkerConfig } from './messages.js';

interface Probed { tried: number; accepted: string[] }

/**
 * The handler of a chaos worker. It fences its effects by token in the ledger, a store outside Redis:
 *
 *  1. a `start` effect raises the fence of the stream to this grant's token;
 *  2. the work;
 *  3. the stream's effect, under the token. The ledger refuses it when a later grant has raised the fence;
 *  4. `done()`, whatever the ledger said, and an `ack` when it was accepted.
 *
 * The interleaving this is after: A is paused between 2 and 3, B is granted the stream and passes 1, A goes on.
 * The ledger refuses A's effect, which proves that B's grant happened before A's `done()` was sent, without
 * comparing any clocks; so an accepted `done()` of A is a stale settle.
 */
export class LeaseWork {
  private readonly open = new Set<StreamLease>();
  private readonly waiting = new Set<() => void>();
  private runs = 0;
  private lastRunAt = 0;

  constructor(
    private readonly config: WorkerConfig,
    private readonly ledger: LedgerClient | undefined,
    private readonly now: () => number,
    private readonly report: (message: Report) => void,
  ) {
    const every = config.checkpointEveryMs;
    if (every !== undefined) setInterval(() => this.checkpointAll(), every).unref();
  }

  async run(lease: StreamLease): Promise<void> {
    this.runs++;
    this.lastRunAt = this.now();
    const { stream, entryId, token, attempt, recovered, owner, previousOwner } = lease;
    const { name: by, quiet } = this.config;
    if (!quiet) this.report({ type: 'run', stream, entryId, token, attempt, recovered, owner, previousOwner, at: this.lastRunAt });
    const { workMs, stubborn } = lease.info as Work;
    const { signal } = lease;
    signal.addEventListener('abort', () => {
      const { reason } = signal.reason as { reason: string };
      if (!quiet) this.report({ type: 'aborted', stream, token, reason, at: this.now() });
    });
    this.open.add(lease);
    await this.ledger?.record('attempt', { resource: stream, token, by });
    await this.ledger?.record('effect', { resource: stream, id: START, token, by });
    await (workMs === undefined ? this.hold(signal) : pause(workMs, stubborn ? undefined : signal));
    if (!stubborn) signal.throwIfAborted();
    await this.ledger?.record('effect', { resource: stream, token, by });
    await lease.done();
    this.open.delete(lease);
    await this.ledger?.record('ack', { resource: stream, token, by });
    if (!quiet) this.report({ type: 'settled', stream, token, operation: 'done', ok: true, at: this.now() });
  }

  /** Held streams complete. */
  finish(): void {
    for (const go of [...this.waiting]) go();
  }

  tally(): { held: number; runs: number; lastRunAt: number } {
    return { held: this.waiting.size, runs: this.runs, lastRunAt: this.lastRunAt };
  }

  /** Every lease whose signal has fired for good must be refused everything, by us or by the server. */
  async probe(): Promise<Probed> {
    const result: Probed = { tried: 0, accepted: [] };
    const stale = [...this.open].filter(({ signal }) => signal.aborted && ['session-lost', 'fenced'].includes((signal.reason as { reason: string }).reason));
    for (const lease of stale) {
      this.open.delete(lease);
      for (const [operation, attempt] of [['checkpoint', () => lease.checkpoint('1-1')], ['release', () => lease.release()], ['done', () => lease.done()]] as const) {
        result.tried++;
        await attempt().then(() => result.accepted.push(`${operation} of ${lease.stream} token ${lease.token}`), () => undefined);
      }
    }
    return result;
  }

  private checkpointAll(): void {
    for (const lease of this.open) {
      if (lease.signal.aborted) continue;
      lease.checkpoint(`${Math.trunc(this.now())}-0`).catch(() => undefined);
    }
  }

  private hold(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        this.waiting.delete(go);
        signal.removeEventListener('abort', go);
        resolve();
      };
      this.waiting.add(go);
      signal.addEventListener('abort', go);
      if (signal.aborted) go();
    });
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
