import { ClosedError, ConsumerNameInUseError } from '../errors/index.js';
import { sleep } from '../redis/sleep.js';
import type { ResolvedSession } from './options.js';
import type { SessionStore } from './store.js';

const LOOK_MS = 50;
const CHALLENGE_MS = 300;
const OWN_TRIES = 5;

export interface JoinRequest {
  readonly store: SessionStore;
  readonly scope: string;
  readonly session: string;
  /** Exclusive name, or ''. */
  readonly name: string;
  readonly meta: string;
  readonly options: ResolvedSession;
  readonly timeoutMs: number;
  /** This process's own earlier session, which it may replace without asking. */
  readonly earlier?: string;
  readonly signal: AbortSignal;
}

export interface Joined {
  /** Local monotonic time at which the accepted request was sent. */
  readonly sentAt: number;
  readonly nextPeerMs: number;
}

/**
 * Joins a scope. When the name already has a live session it is either a process that still runs, or one that
 * died a moment ago and whose deadline is yet to come. They are told apart by asking: the holder is rung and
 * answers with a heartbeat. A deadline that moves means it lives: a clear error. One that stands still for
 * 300 ms is replaced - compare-and-set on that very deadline, so a holder that wakes up in between wins.
 *
 * @throws ConsumerNameInUseError
 */
export async function joinScope(request: JoinRequest): Promise<Joined> {
  const { store, session, name, options, meta, timeoutMs } = request;
  const attempt = async (expected?: { holder: string; deadline: string }): Promise<Joined | { holder: string; deadline: string }> => {
    const sentAt = performance.now();
    const reply = await store.join(session, name, options.ttlMs, meta, expected, timeoutMs);
    return reply.status === 'joined' ? { sentAt, nextPeerMs: reply.nextPeerMs } : { holder: reply.holder, deadline: reply.deadline };
  };

  let first = await attempt();
  // A heartbeat we gave up waiting for may still reach the server between two tries and move the deadline: that is
  // our own earlier session, not a rival.
  for (let tries = 0; 'holder' in first && first.holder === request.earlier && tries < OWN_TRIES; tries++) first = await attempt(first);
  if ('sentAt' in first) return first;
  await store.ring(`challenge ${first.holder}`);
  const until = performance.now() + CHALLENGE_MS;
  while (performance.now() < until && !request.signal.aborted) {
    await sleep(LOOK_MS, request.signal);
    const again = await attempt();
    if ('sentAt' in again) return again;
    if (again.holder !== first.holder || again.deadline !== first.deadline) break;
  }
  // Stopped within the 300 ms: the holder has not had its time to answer, so nothing says that it is dead.
  if (request.signal.aborted) throw new ClosedError(`joining ${request.scope}`);
  const last = await attempt(first);
  if ('sentAt' in last) return last;
  throw new ConsumerNameInUseError(name, last.holder, request.scope);
}
