import { FencedError, LeaseAbortedError, toError } from '../errors/index.js';
import { backoffDelay } from '../kernel/backoff.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { HeldLease } from './held-lease.js';
import type { ResolvedLeaseOptions } from './options.js';
import type { LeaseHandlers } from './types.js';

/**
 * Runs the assigned handler on one lease and settles by how it ended:
 *
 * - it returned: done (`settle: 'auto'`), or the lease stays open (`'manual'`);
 * - it threw after the lease was aborted for shutdown or rebalance: released to a peer, not counted;
 * - it threw: retried after a backoff, or dead-lettered once `maxAttempts` failures came in a row;
 * - the lease was lost meanwhile: nothing, it is somebody else's.
 *
 * A handler that ignores the abort and returns has finished its work, and `done` is accepted while the token is.
 */
export async function runHandler(lease: HeldLease, handlers: LeaseHandlers, options: ResolvedLeaseOptions, events: RedisStreamsEvents, onError: (error: Error, lease: HeldLease) => void): Promise<void> {
  lease.running = true;
  try {
    await handlers.assigned(lease);
    if (!lease.isOpen) return;
    if (options.settle === 'auto') await lease.done();
    else if (lease.abortReason) await lease.release();
  } catch (thrown) {
    const error = toError(thrown);
    if (!lease.isOpen) {
      // After the lease is over only news is worth telling: not the refusal or abort that ended it.
      if (!(error instanceof FencedError) && !(error instanceof LeaseAbortedError)) onError(error, lease);
      return;
    }
    await settleFailure(lease, error, options, events, onError).catch((failure: Error) => {
      if (!(failure instanceof FencedError)) onError(failure, lease);
    });
  } finally {
    lease.running = false;
  }
}

async function settleFailure(lease: HeldLease, error: Error, options: ResolvedLeaseOptions, events: RedisStreamsEvents, onError: (error: Error, lease: HeldLease) => void): Promise<void> {
  if (lease.abortReason) {
    if (!(error instanceof LeaseAbortedError) && error.name !== 'AbortError') onError(error, lease);
    return lease.release();
  }
  onError(error, lease);
  const { service, stream, token, owner, attempt } = lease;
  const failures = lease.failuresSoFar + 1;
  if (failures >= options.maxAttempts) {
    await lease.end('dead', 'max-attempts', describe(error));
    return;
  }
  const delayMs = backoffDelay(options.backoff, failures, Math.random());
  events.emit('lease.retried', { service, stream, token, owner, attempt, delayMs, error });
  await lease.end('retry', String(delayMs), describe(error));
}

function describe(error: Error): string {
  return `${error.name}: ${error.message}`.slice(0, 2_000);
}
