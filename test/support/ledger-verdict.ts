export interface LedgerData {
  /** What is fenced: a stream, a partition, a key. */
  resource: string;
  /** Identity of the unit of work; without one the resource itself is the unit. */
  id?: string;
  /** Fencing token; a decimal string keeps tokens beyond 2^53 exact. */
  token?: number | string;
  /** Position of the unit within its resource, where order is promised. */
  order?: number;
  by?: string;
}

/** sent: promised by a producer. attempt: a handler began. effect: fenced write. ack: the library reported success. */
export type LedgerKind = 'sent' | 'attempt' | 'effect' | 'ack';

export interface LedgerEvent extends LedgerData {
  seq: number;
  atMs: number;
  kind: LedgerKind;
  accepted: boolean;
}

export interface Verdict {
  sent: number;
  attempts: number;
  /** Attempts beyond the first of a unit. */
  reruns: number;
  acks: number;
  accepted: number;
  /** Effects refused for a stale token. */
  rejected: number;
  /** Units sent without an accepted effect. */
  lost: number;
  /** Accepted effects beyond the first of a unit. */
  duplicatedEffects: number;
  /** Units with an effect that were never sent; only counted when anything was recorded as sent. */
  unexpected: number;
  /** Accepted first effects of a lower order than one accepted before in the same resource. */
  inversions: number;
  /** Units acked without an accepted effect. */
  ackedWithoutEffect: number;
}

const unit = (event: LedgerData): string => `${event.resource}\u0000${event.id ?? ''}`;

/** A pure count over the events. */
export function verdictOf(events: readonly LedgerEvent[]): Verdict {
  const sent = new Set<string>();
  const attempts = new Map<string, number>();
  const effects = new Map<string, number>();
  const acked = new Set<string>();
  const highestOrder = new Map<string, number>();
  let acks = 0;
  let rejected = 0;
  let inversions = 0;
  for (const event of events) {
    const key = unit(event);
    switch (event.kind) {
      case 'sent': sent.add(key); break;
      case 'attempt': attempts.set(key, (attempts.get(key) ?? 0) + 1); break;
      case 'ack': acks++; acked.add(key); break;
      case 'effect': {
        if (!event.accepted) { rejected++; break; }
        const before = effects.get(key) ?? 0;
        effects.set(key, before + 1);
        if (event.order === undefined || before > 0) break;
        const highest = highestOrder.get(event.resource) ?? -Infinity;
        if (event.order < highest) inversions++;
        else highestOrder.set(event.resource, event.order);
        break;
      }
      default: event.kind satisfies never;
    }
  }
  const total = (counts: Map<string, number>): number => [...counts.values()].reduce((sum, n) => sum + n, 0);
  const without = (keys: Iterable<string>, known: { has(key: string): boolean }): number => [...keys].filter((key) => !known.has(key)).length;
  return {
    sent: sent.size,
    attempts: total(attempts),
    reruns: total(attempts) - attempts.size,
    acks,
    accepted: total(effects),
    rejected,
    lost: without(sent, effects),
    duplicatedEffects: total(effects) - effects.size,
    unexpected: sent.size === 0 ? 0 : without(effects.keys(), sent),
    inversions,
    ackedWithoutEffect: without(acked, effects),
  };
}
