import type { Entry } from './effects.js';
import { tenuresOf, type Tenure } from './tenures.js';

/** A partition that went from one live owner to the next. */
export interface Move {
  readonly partition: number;
  readonly from: string;
  readonly to: string;
  readonly token: number;
  readonly reason: string;
  /** From when the old owner hands over nothing more to when the new one may hand over the first. */
  readonly pauseMs: number;
  /** Of that: until the old owner had drained, until the new one was told, until it was ready. */
  readonly parts: readonly [drainMs: number, grantMs: number, readyMs: number];
}

export interface Pauses {
  readonly moves: readonly Move[];
  /** How long each message that came while its partition moved had to wait for a handler, in ms since it was stored. */
  readonly movedWaits: readonly number[];
  /** From when a new owner may hand over to its first message, where one had come before. */
  readonly firstReads: readonly number[];
  /** The same as `movedWaits` for all others. */
  readonly otherWaits: readonly number[];
  /** Changes of owner without a clean hand-over. */
  readonly unclean: number;
}

/** What moving cost, as a consumer of the partition sees it: by the owners' words, and by the messages themselves; since a moment. */
export function pausesOf(entries: readonly Entry[], since: number): Pauses {
  const moves: Move[] = [];
  let unclean = 0;
  const reasons = new Map<string, string>();
  for (const { kind, partition, token, detail } of entries) if (kind === 'revoked') reasons.set(`${partition} ${token}`, detail);
  const byToken = new Map<string, Tenure>();
  for (const tenures of tenuresOf(entries).values()) {
    for (const [i, tenure] of tenures.entries()) {
      byToken.set(`${tenure.partition} ${tenure.token}`, tenure);
      const { partition, token, by, drainingAt, revokedAt } = tenure;
      const next = tenures[i + 1];
      if (!next) continue;
      if (revokedAt === undefined || drainingAt === undefined) unclean++;
      else if (next.activeAt !== undefined && drainingAt >= since) moves.push({ partition, from: by, to: next.by, token, reason: reasons.get(`${partition} ${token}`) ?? '?', pauseMs: next.activeAt - drainingAt, parts: [revokedAt - drainingAt, next.assignedAt - revokedAt, next.activeAt - next.assignedAt] });
    }
  }
  const movedWaits: number[] = [];
  const otherWaits: number[] = [];
  const firstReads = new Map<Tenure, number>();
  for (const { kind, partition, token, at, detail } of entries) {
    if (kind !== 'attempt' || at < since) continue;
    const tenure = byToken.get(`${partition} ${token}`);
    const storedAt = Number(detail.split('-')[0]);
    const activeAt = tenure?.activeAt;
    if (tenure && activeAt !== undefined && storedAt < activeAt && !firstReads.has(tenure)) firstReads.set(tenure, Math.max(0, at - activeAt));
    (storedAt <= (activeAt ?? Infinity) ? movedWaits : otherWaits).push(at - storedAt);
  }
  return { moves, movedWaits, otherWaits, firstReads: [...firstReads.values()], unclean };
}
