import { type LedgerEvent, type Verdict, verdictOf } from '../support/ledger-verdict.js';

/** Id of the effect by which a handler raises a stream's fence before it works. */
export const START = 'start';

export interface Judgement extends Verdict {
  /** `done()` accepted from an owner whose effect the ledger had refused already: invariants 1 and 2. */
  staleSettlesAccepted: number;
  /** Streams whose completion was accepted more than once. */
  completedTwice: number;
  completed: number;
}

/**
 * The verdict on a run in which each stream is announced once under a name of its own. A pure count; `lost` is
 * judged by effects and not by acks, for an owner may be killed between its accepted `done()` and saying so.
 * `duplicatedEffects` may rise by kills between effect and `done()`: delivery is at least once.
 */
export function judge(events: readonly LedgerEvent[]): Judgement {
  const verdict = verdictOf(events.filter(({ id }) => id !== START));
  const refused = new Set<string>();
  const acks = new Map<string, number>();
  let staleSettlesAccepted = 0;
  for (const { kind, resource, token, accepted } of events) {
    if (kind === 'effect' && !accepted) refused.add(`${resource}\u0000${token}`);
    if (kind !== 'ack') continue;
    acks.set(resource, (acks.get(resource) ?? 0) + 1);
    if (refused.has(`${resource}\u0000${token}`)) staleSettlesAccepted++;
  }
  const completedTwice = [...acks.values()].filter((count) => count > 1).length;
  return { ...verdict, staleSettlesAccepted, completedTwice, completed: acks.size };
}

export function breachesOf({ lost, staleSettlesAccepted, completedTwice, ackedWithoutEffect }: Judgement): string[] {
  return [
    lost > 0 && `${lost} announced streams were never completed`,
    staleSettlesAccepted > 0 && `${staleSettlesAccepted} stale settles were accepted`,
    completedTwice > 0 && `${completedTwice} streams were completed twice`,
    ackedWithoutEffect > 0 && `${ackedWithoutEffect} completions had no accepted effect`,
  ].filter((text): text is string => text !== false);
}
