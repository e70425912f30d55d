import type { Findings } from '../partition/findings.js';
import type { Stay } from './stays.js';
import type { Timeline, Turn } from './timeline.js';

export interface Rules {
  /** From when on a session may be taken for dead; Infinity: never. */
  deadFrom(session: string): number;
  /** From when on its process was killed, stopped or silent; Infinity: never. */
  stoppedFrom(session: string): number;
  readonly ackTimeoutMs: number;
  /** The server's own, grace included. */
  readonly roomTimeoutMs: number;
}

/** Timers fire a little early, and the workers' clocks count whole milliseconds. */
export const CLOCK_MS = 3;

/** When a message's time was over for this subscriber. */
export function timeOf({ shown }: Stay, place: number, turn: Turn, { ackTimeoutMs, roomTimeoutMs }: Rules): number {
  return Math.min((shown.get(place) ?? Infinity) + ackTimeoutMs, turn.at + roomTimeoutMs);
}

/** The room need not have waited for this subscriber any longer, because it was too late. */
function timedOut(stay: Stay, place: number, turn: Turn, rules: Rules, by = turn.nextAt): boolean {
  return timeOf(stay, place, turn, rules) - CLOCK_MS <= by;
}

/** Ejected because the room's time was over, which the room's server or the process itself notices. */
const OUT_OF_TIME = new Set(['timeout', 'expired']);

/**
 * A process that could have shown it, and was said to be too late with what its subscriber never saw. Only the process that was
 * killed, stopped or silent while the message was the room's current one is at fault itself.
 */
function neverShown({ session, shown }: Stay, place: number, turn: Turn, rules: Rules): boolean {
  return !shown.has(place) && rules.stoppedFrom(session) > turn.nextAt;
}

/**
 * Holds one stay of a sync subscriber against its room's timeline.
 *
 * What the ledger says of it has come in before the library was told (acked, leaving) or after the library said so (in), so
 * these times bound the server's without comparing clocks of processes: who was `in` before a message went out was a member at
 * its release, and when the next went out it must have acknowledged, or have been about to leave, or been ejected. An
 * ejection needs a cause that the judge knows of itself: the session's deadline as read from the server after the
 * kill or stop (or its last heartbeat, when it ran out unforced), the handler's time, or the room's.
 *   A process that was stopped may show late what went out before; by then the room has gone on without it, after its
 * deadline. It could not show anything early, since it only ever shows what went out.
 */
export function checkStay(stay: Stay, { turns }: Timeline, first: number, rules: Rules, room: string, found: Findings): void {
  const dead = rules.deadFrom(stay.session);
  let ejectedOver = Infinity;
  for (let place = first; place < turns.length; place++) {
    const turn = turns[place]!;
    if (dead <= turn.nextAt) break;
    if (turn.nextAt > stay.until) {
      const outOfTime = stay.ejectedFor !== undefined && OUT_OF_TIME.has(stay.ejectedFor) && turn.at < stay.until;
      if (outOfTime && dead > stay.until && !timedOut(stay, place, turn, rules, stay.until)) found.add('violations', `${room}: ${stay.sub} was ejected over ${turn.id} (${stay.ejectedFor}) ${(stay.until - turn.at).toFixed(0)} ms after it went out, before its time was over`);
      if (outOfTime && neverShown(stay, place, turn, rules)) found.add('lostForLive', `${room}: ${stay.sub} was ejected over ${turn.id} (${stay.ejectedFor}), and it was never shown to it`);
      break;
    }
    const acked = stay.acked.get(place);
    if (acked !== undefined && acked <= turn.nextAt) continue;
    if (timedOut(stay, place, turn, rules)) {
      ejectedOver = place;
      if (neverShown(stay, place, turn, rules)) found.add('lostForLive', `${room}: the room's time was over for ${stay.sub} with ${turn.id}, and it was never shown to it`);
      break;
    }
    const after = (ms: number | undefined): string => (ms === undefined ? 'never' : `at ${(ms - turn.at).toFixed(1)} ms`);
    const sample = `${room}: ${turn.id} to ${stay.sub}, shown ${after(stay.shown.get(place))}, acknowledged ${after(acked)}, the next went out ${after(turn.nextAt)}`;
    found.add('violations', sample);
    if (!stay.shown.has(place)) found.add('lostForLive', sample);
  }
  let last: number | undefined;
  for (const place of stay.shown.keys()) {
    if (place > ejectedOver && dead > turns[place]!.at) found.add('lostForLive', `${room}: ${stay.sub} stayed after the room had gone on without it over ${turns[ejectedOver]!.id}`);
    if (last !== undefined && place > last + 1 && dead > turns[place]!.at) found.add('lostForLive', `${room}: ${stay.sub} saw ${turns[last]!.id}, then ${turns[place]!.id}, and ${place - last - 1} between them not`);
    last = place;
  }
}
