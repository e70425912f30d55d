import { type Booking, type Grant, type Journal, paymentKey } from './journal.js';

/** A partition that changed hands. */
export interface Change {
  readonly partition: number;
  readonly from: string;
  readonly to: string;
  readonly at: number;
  /** The new owner's. */
  readonly token: number;
  /** Handed over by a worker that had finished, instead of left behind by a dead one. */
  readonly clean: boolean;
}

export interface Move extends Change {
  /** How long payments were there and nobody handled them. */
  readonly pauseMs: number;
}

export function changesBetween(journal: Journal, from: number, until: number): Change[] {
  return journal.grants.flatMap((grants, partition) => pairs(grants)
    .filter(([before, { at, worker }]) => at >= from && at <= until && before.worker !== worker)
    .map(([before, { at, worker, token }]) => ({ partition, from: before.worker, to: worker, at, token, clean: before.ended === 'revoked' })));
}

export function movesBetween(journal: Journal, from: number, until: number): Move[] {
  const valid = journal.bookings.filter(({ answer }) => answer !== 'stale');
  return changesBetween(journal, from, until)
    .map((change) => ({ ...change, pauseMs: pauseOf(journal, valid.filter(({ partition }) => partition === change.partition), change, until) }));
}

/**
 * From the end of the last booking before the move, or from when the oldest payment that nobody had booked by then was
 * about to be sent, until the new owner begins its first one.
 */
function pauseOf(journal: Journal, bookings: readonly Booking[], { partition, token }: Change, until: number): number {
  const earlier = bookings.filter((booking) => booking.token < token);
  const later = bookings.filter((booking) => booking.token >= token);
  const done = new Set(earlier.filter(({ answer }) => answer === 'booked').map(paymentKey));
  const resumed = later.reduce((least, { startedAt }) => Math.min(least, startedAt), until);
  let waiting = resumed;
  for (const [key, sent] of journal.sent) if (sent.partition === partition && !done.has(key)) waiting = Math.min(waiting, sent.at);
  const stopped = earlier.reduce((most, { at }) => Math.max(most, at), 0);
  return Math.max(0, resumed - Math.max(stopped, waiting));
}

function pairs(grants: readonly Grant[]): Array<readonly [Grant, Grant]> {
  return grants.slice(1).map((after, i) => [grants[i] as Grant, after] as const);
}
