import { FencedError, LeaseAbortedError, toError } from '../errors/index.js';
import { backoffDelay } from '../kernel/backoff.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { HeldLease } from './held-lease.js';
import { insist } from './insist.js';
import type { ResolvedLeaseOptions } from './options.js';
import type { LeaseHandlers } from './types.js';

/** What a run needs of its portfolio: one object for all leases. */
export interface RunnerHost {
  readonly handlers: LeaseHandlers;
  readonly options: ResolvedLeaseOptions;
  readonly events: RedisStreamsEvents;
  onError(error: Error, lease: HeldLease): void;
  /** The server would not take how it ended; it is asked again. */
  refused(error: Error, lease: HeldLease): void;
  /** The run is over: settled, or refused. */
  ended(): void;
}

/**
 * Runs the assigned handler on one lease and settles by how it ended:
 *
 * - it returned: done (`settle: 'auto'`), or the lease stays open (`'manual'`);
 * - it threw after the lease was aborted for shutdown or rebalance: released to a peer, not counted;
 * - it threw: retried after a backoff, or dead-lettered once `maxAttempts` failures came in a row;
 * - the lease was lost meanwhile: nothing, it is somebody else's.
 *
 * A handler that ignores the abort and returns has finished its work, and `done` is accepted while the token is.
 *
 * Thousands of handlers may sit in an await for hours, so while one runs this costs two closures and a promise;
 * an async frame around it would hold four times as much.
 */
export function runHandler(lease: HeldLease, host: RunnerHost): void {
  lease.running = true;
  let result: Promise<unknown>;
  try {
    result = Promise.resolve(host.handlers.assigned(lease));
  } catch (thrown) {
    result = Promise.reject(thrown);
  }
  void result.then(
    () => finish(lease, host, returned),
    (thrown: unknown) => finish(lease, host, () => failed(lease, host, thrown)),
  );
}

async function finish(lease: HeldLease, host: RunnerHost, settle: (lease: HeldLease, host: RunnerHost) => Promise<void>): Promise<void> {
  try {
    await settle(lease, host);
  } finally {
    lease.running = false;
    host.ended();
  }
}

async function returned(lease: HeldLease, host: RunnerHost): Promise<void> {
  if (host.options.settle === 'auto') await settled(lease, host, () => lease.done());
  else if (lease.abortReason) await settled(lease, host, () => lease.release());
}

async function failed(lease: HeldLease, host: RunnerHost, thrown: unknown): Promise<void> {
  const error = toError(thrown);
  if (!lease.isOpen) {
    // After the lease is over only news is worth telling: not the refusal or abort that ended it.
    if (!(error instanceof FencedError) && !(error instanceof LeaseAbortedError)) host.onError(error, lease);
    return;
  }
  const { options, events, onError } = host;
  if (lease.abortReason) {
    if (!(error instanceof LeaseAbortedError) && error.name !== 'AbortError') onError(error, lease);
    return settled(lease, host, () => lease.release());
  }
  onError(error, lease);
  const { service, stream, token, owner, attempt } = lease;
  const failures = lease.failuresSoFar + 1;
  const text = describe(error);
  if (failures >= options.maxAttempts) return settled(lease, host, () => lease.end('dead', 'max-attempts', text));
  const delayMs = backoffDelay(options.backoff, failures, Math.random());
  events.emit('lease.retried', { service, stream, token, owner, attempt, delayMs, error });
  await settled(lease, host, () => lease.end('retry', String(delayMs), text));
}

function settled(lease: HeldLease, host: RunnerHost, end: () => Promise<void>): Promise<void> {
  return insist(lease, end, (error) => host.refused(error, lease));
}

/** Name and message may be anything, also what has no text: the stream must be settled all the same. */
function describe(error: Error): string {
  try {
    return `${error.name}: ${error.message}`.slice(0, 2_000);
  } catch {
    return 'an error without a text';
  }
}
