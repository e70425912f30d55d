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
  const acks = new Map<string, number>();
  for (const { kind, resource } of events) if (kind === 'ack') acks.set(resource, (acks.get(resource) ?? 0) + 1);
  const completedTwice = [...acks.values()].filter((count) => count > 1).length;
  return { ...verdict, staleSettlesAccepted: tokensGoneBack(events).length, completedTwice, completed: acks.size };
}

/**
 * Completions the server accepted from a token that the ledger had refused, because it had seen a higher one. One
 * cause is a stale owner whose settle was let through; the other a server that lost its memory and granted a
 * lower token than before. No clocks, and no order of announcements: an early one may well run late.
 */
export function tokensGoneBack(events: readonly LedgerEvent[]): string[] {
  const refused = new Set<string>();
  const back: string[] = [];
  for (const { kind, resource, token, accepted } of events) {
    if (kind === 'effect' && !accepted) refused.add(`${resource} token ${token}`);
    if (kind === 'ack' && refused.has(`${resource} token ${token}`)) back.push(`${resource} token ${token}`);
  }
  return back;
}

export function breachesOf({ lost, staleSettlesAccepted, completedTwice, ackedWithoutEffect }: Judgement): string[] {
  return [
    lost > 0 && `${lost} announced streams were never completed`,
    staleSettlesAccepted > 0 && `${staleSettlesAccepted} stale settles were accepted`,
    completedTwice > 0 && `${completedTwice} streams were completed twice`,
    ackedWithoutEffect > 0 && `${ackedWithoutEffect} completions had no accepted effect`,
  ].filter((text): text is string => text !== false);
}
