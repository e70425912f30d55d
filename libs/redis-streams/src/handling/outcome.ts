/** What an error itself says is to become of the message whose handler threw it. */
export type Outcome =
  /** Again after `delayMs`, by default after the backoff; counts as an attempt. */
  | { readonly kind: 'retry'; readonly delayMs?: number }
  | { readonly kind: 'dead-letter'; readonly reason: string }
  /** Acknowledged, as if it had succeeded. */
  | { readonly kind: 'drop' };

/** Property of an error that says so. Registered, so that two copies of this package in one process understand each other. */
export const OUTCOME: unique symbol = Symbol.for('nestjs-redis-streams:outcome') as never;

/** Undefined: the consumer's retry options decide. */
export function outcomeOf(thrown: unknown): Outcome | undefined {
  try {
    return typeof thrown === 'object' && thrown !== null ? (thrown as { [OUTCOME]?: Outcome })[OUTCOME] : undefined;
  } catch {
    return undefined; // a revoked proxy, say
  }
}

/** A year: of what is sent with a delay, and of what is tried again. */
export const MAX_DELAY_MS = 31_536_000_000;

/** A delay that a handler asks for, as it can be kept. Undefined: what it gave is none, such as what it has read from an answer that does not have it. */
export function givenDelay(delayMs: unknown): number | undefined {
  return typeof delayMs === 'number' && !Number.isNaN(delayMs) ? Math.min(Math.max(0, delayMs), MAX_DELAY_MS) : undefined;
}
