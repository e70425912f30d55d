import type { Death } from './deaths.js';
import { timedOut, type Rules } from './lockstep.js';
import type { Stay } from './stays.js';
import type { Timeline, Turn } from './timeline.js';

export interface Stalls {
  /** From the death of one it waited for until the room went on. */
  longestMs: number;
  where: string;
  /** In which a room with a death waited for nobody, or for one whose time was over. */
  overdueMs: number;
  whereOverdue: string;
  /** Deaths that held up a room. */
  count: number;
  /** Rooms that had nobody to show a message to for a while. */
  deserted: number;
  /** A room stood still for longer than `idleMs`, and nothing explains it. */
  readonly unexplained: string[];
}

/** Shorter pauses are nobody's. */
const IDLE_MS = 1_000;
/** What was acknowledged so shortly before the end may not have reached the server. */
const IN_FLIGHT_MS = 200;
/** So soon after a deadline the dead are out. */
const EJECTED_MS = 500;
/** So soon after the last acknowledgement the room goes on. */
const PROMPT_MS = 300;

export const noStalls = (): Stalls => ({ longestMs: 0, where: '-', overdueMs: 0, whereOverdue: '-', count: 0, deserted: 0, unexplained: [] });

/** A time in which the room had to wait for somebody. */
export interface Wait { readonly from: number; readonly until: number }

/**
 * The longest time between `since` and `nextAt` in which there was nobody to wait for. One who dies while another's deadline runs
 * is waited for until its own; one who dies when the room should have gone on long ago excuses nothing of the time before.
 */
export function overdueOf(waits: readonly Wait[], since: number, nextAt: number): number {
  let longest = 0;
  let excused = since;
  for (const { from, until } of waits.toSorted((a, b) => a.from - b.from)) {
    longest = Math.max(longest, Math.min(from, nextAt) - excused);
    excused = Math.max(excused, until);
  }
  return Math.max(longest, nextAt - excused);
}

interface Owing { readonly death: Death; readonly wait: Wait }

/** Dead ones that owed the message when they died. */
function owingOf(members: readonly Stay[], deaths: ReadonlyMap<string, Death>, place: number, turn: Turn, { roomTimeoutMs }: Rules): Owing[] {
  return members.flatMap((stay) => {
    const death = deaths.get(stay.session);
    if (!death || death.at > turn.nextAt || death.latest <= turn.at - EJECTED_MS || (stay.acked.get(place) ?? Infinity) <= death.at - IN_FLIGHT_MS) return [];
    // One that lives shows at once what goes out: as long as it did not, nobody waited for its handler.
    const from = stay.shown.has(place) ? turn.at : Math.max(turn.at, death.at);
    return [{ death, wait: { from, until: Math.min(death.latest, turn.at + roomTimeoutMs) } }];
  });
}

/** What whoever looks into it wants to know first. */
function story(turn: Turn, lastAck: number, culprits: readonly Owing[]): string {
  const after = (at: number): string => `${(at - turn.at).toFixed(0)} ms`;
  const deaths = new Map(culprits.map(({ death }) => [death.label, `${death.label} died after ${after(death.at)}, its time was over after ${after(death.latest)}`]));
  return `over ${[...deaths.values()].join(' and ')}; the last acknowledgement came after ${after(lastAck)}; it went on after ${after(turn.nextAt)}`;
}

/** Why a room waited wherever it did. There was always a next message, unless `sentAt` says otherwise. */
export function addStalls(room: string, { turns }: Timeline, stays: readonly Stay[], deaths: ReadonlyMap<string, Death>, inRoom: (label: string) => boolean, rules: Rules, idleMs: number, to: Stalls): void {
  // Killed before they wrote down that they were in, if they were.
  const known = new Set(stays.map(({ session }) => session));
  const here = [...deaths].flatMap(([session, death]) => (inRoom(death.label) && !known.has(session) ? [death] : []));
  for (let place = 0; place + 1 < turns.length; place++) {
    const turn = turns[place]!;
    const { nextAt } = turn;
    const since = Math.max(turn.at, turns[place + 1]!.sentAt);
    if (nextAt - since < IDLE_MS) continue;
    const members = stays.filter(({ from, until, sync }) => sync && from < nextAt && until > turn.at);
    // What a stopped process says when it is continued is heard by nobody.
    const inTime = ({ acked, session }: Stay): number[] => [acked.get(place) ?? Infinity].filter((on) => on <= nextAt && on < rules.deadFrom(session));
    const lastAck = Math.max(turn.at, ...members.flatMap(inTime));
    if (nextAt - lastAck < PROMPT_MS) continue; // it waited for one that was slow
    const slow = members.filter((stay) => stay.shown.has(place) && (stay.acked.get(place) ?? Infinity) > nextAt && rules.deadFrom(stay.session) > nextAt && timedOut(stay, place, turn, rules));
    const owing = owingOf(members, deaths, place, turn, rules);
    const others = here.filter(({ at, latest }) => at <= nextAt && latest >= turn.at).map((death): Owing => ({ death, wait: { from: turn.at, until: death.latest } }));
    const culprits = [...owing, ...others];
    const waits: Wait[] = [
      { from: turn.at, until: lastAck },
      ...slow.map(({ shown }) => ({ from: turn.at, until: Math.min(shown.get(place)! + rules.ackTimeoutMs, turn.at + rules.roomTimeoutMs) })),
      ...culprits.map(({ wait }) => wait),
    ];
    const live = stays.filter(({ from, until, session, sync }) => sync && from < nextAt && until > nextAt && rules.deadFrom(session) > nextAt);
    const over = Math.max(...waits.map(({ until }) => until));
    const cameAt = Math.min(...live.map(({ from }) => from));
    // Nobody was left: the next message waited for one to come.
    const deserted = !(cameAt < (culprits.length + slow.length > 0 ? over : nextAt - IDLE_MS));
    if (deserted) {
      to.deserted++;
      waits.push({ from: over, until: Math.min(cameAt, nextAt) });
    }
    const overdue = overdueOf(waits, since, nextAt);
    if (culprits.length === 0) {
      if (!deserted && (slow.length > 0 ? overdue : nextAt - since) > idleMs) to.unexplained.push(`${room}: ${(nextAt - lastAck).toFixed(0)} ms after ${turn.id}`);
      continue;
    }
    const where = `${room} behind ${turn.id}, ${story(turn, lastAck, culprits)}`;
    if (overdue > to.overdueMs) [to.overdueMs, to.whereOverdue] = [overdue, where];
    if (deserted || slow.length > 0) continue; // from the death on it waited for others too
    to.count++;
    const died = Math.max(...culprits.map(({ death: { at } }) => at));
    if (nextAt - died > to.longestMs) [to.longestMs, to.where] = [nextAt - died, where];
  }
}
