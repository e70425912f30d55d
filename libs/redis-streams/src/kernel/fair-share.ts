/**
 * How many of `held` leases to offer to peers, given this consumer's fair `share`. A surplus of up to a
 * twentieth is left alone: moving a stream costs its owner a restart. Below twenty each one counts, or a joiner of few
 * streams would get none.
 */
export function handOverCount(held: number, alreadyAsked: number, share: number): number {
  const surplus = held - alreadyAsked - share;
  return surplus > Math.floor(share * 0.05) ? surplus : 0;
}

/** A surplus in the making. */
export interface Surplus {
  /** Local monotonic ms at which it was first seen. */
  readonly since: number;
  /** The smallest it has been since. */
  readonly count: number;
}

/**
 * Shares wobble as streams come and go, so only what has been too many for `holdMs` without a break is handed over.
 * @returns what to remember, and how many to hand over now.
 */
export function lastingSurplus(before: Surplus | undefined, count: number, now: number, holdMs: number): { surplus?: Surplus; handOver: number } {
  if (count === 0) return { handOver: 0 };
  const surplus = before ? { since: before.since, count: Math.min(before.count, count) } : { since: now, count };
  return now - surplus.since >= holdMs ? { handOver: surplus.count } : { surplus, handOver: 0 };
}
