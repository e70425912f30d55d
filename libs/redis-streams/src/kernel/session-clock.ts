/**
 * Self-fencing, as a value. All times are readings of one local monotonic clock in milliseconds.
 *
 * The server counts a session's ttl from the moment it runs the heartbeat; we count from the moment we
 * *sent* it, which is earlier, and stop `marginMs` before. So whenever this says valid, the server's
 * deadline is still ahead - provided both clocks run at about the same speed, which `marginMs` allows for.
 */
export interface SessionClock {
  readonly ttlMs: number;
  readonly marginMs: number;
  /** Instant up to which this process may act on what it holds. */
  readonly validUntil: number;
}

export function renewed(clock: Pick<SessionClock, 'ttlMs' | 'marginMs'>, sentAt: number): SessionClock {
  return { ttlMs: clock.ttlMs, marginMs: clock.marginMs, validUntil: sentAt + clock.ttlMs - clock.marginMs };
}

export function isValid(clock: SessionClock, now: number): boolean {
  return now < clock.validUntil;
}
