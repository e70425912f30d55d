import type { Death } from './deaths.js';
import { CLOCK_MS, timeOf, type Rules } from './lockstep.js';
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
/** What was said so shortly before the end may not have reached the server. */
const IN_FLIGHT_MS = 200;
/** So soon after a deadline the dead are out; so much later than it came in a subscriber says so. */
const LATE_MS = 500;
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

/** When it had said its last word about a message: it had acknowledged, or left while its handler was at work. */
function lastWordOf({ acked, shown, until, stopping, ejectedFor }: Stay, place: number): number {
  const ackedAt = acked.get(place) ?? Infinity;
  if (!shown.has(place) || stopping === true) return ackedAt;
  return Math.min(until, ejectedFor === undefined || ackedAt < until ? ackedAt : Infinity);
}

interface Owing { readonly death: Death; readonly wait: Wait }

/** Dead ones that owed the message when they died. */
function owingOf(stays: readonly Stay[], deaths: ReadonlyMap<string, Death>, place: number, turn: Turn, rules: Rules): Owing[] {
  return stays.flatMap((stay) => {
    const death = deaths.get(stay.session);
    const shownAt = stay.shown.get(place);
    if (!death || death.at > turn.nextAt || death.latest <= turn.at - LATE_MS || lastWordOf(stay, place) <= death.at - IN_FLIGHT_MS) return [];
    // Who comes while it is shown owes nothing.
    if (shownAt === undefined && stay.from > turn.at + LATE_MS && stay.from < death.at) return [];
    const gone = stay.stopping === true && shownAt !== undefined ? timeOf(stay, place, turn, rules) : stay.until;
    if (gone + IN_FLIGHT_MS <= Math.max(turn.at, death.at)) return [];
    // One that lives shows at once what goes out: as long as it did not, nobody waited for its handler.
    const from = shownAt === undefined ? Math.max(turn.at, death.at) : turn.at;
    return [{ death, wait: { from, until: Math.min(death.latest, turn.at + rules.roomTimeoutMs) } }];
  });
}

/** What whoever looks into it wants to know first. */
function story(turn: Turn, lastWord: number, culprits: readonly Owing[]): string {
  const after = (at: number): string => `${(at - turn.at).toFixed(0)} ms`;
  const deaths = new Map(culprits.map(({ death }) => [death.label, `${death.label} died after ${after(death.at)}, its time was over after ${after(death.latest)}`]));
  return `over ${[...deaths.values()].join(' and ')}; the last word of a live one came after ${after(lastWord)}; it went on after ${after(turn.nextAt)}`;
}

/** Times in which nobody was there. */
function desertedTimes(stays: readonly Stay[], { at, nextAt }: Turn, rules: Rules): Wait[] {
  const there = stays.map(({ session, from, until }) => ({ from, until: Math.min(until, rules.deadFrom(session)) })).filter(({ from, until }) => from < until).toSorted((a, b) => a.from - b.from);
  const empty: Wait[] = [];
  let from = at;
  for (const each of [...there, { from: nextAt, until: nextAt }]) {
    if (each.from > from && from < nextAt) empty.push({ from, until: Math.min(each.from, nextAt) });
    from = Math.max(from, each.until);
  }
  return empty;
}

/** Of one room. */
export interface RoomStory {
  readonly room: string;
  readonly timeline: Timeline;
  /** Of its sync subscribers. */
  readonly stays: readonly Stay[];
  /** Session -> its death, of processes with subscribers here and sessions in the room's shard. */
  readonly deaths: ReadonlyMap<string, Death>;
}

/** Why a room waited wherever it did. There was always a next message, unless `sentAt` says otherwise. */
export function addStalls({ room, timeline: { turns }, stays, deaths }: RoomStory, rules: Rules, idleMs: number, to: Stalls): void {
  // Killed before they wrote down that they were in, if they were.
  const known = new Set(stays.map(({ session }) => session));
  const unknown = [...deaths].flatMap(([session, death]) => (known.has(session) ? [] : [death]));
  for (let place = 0; place + 1 < turns.length; place++) {
    const turn = turns[place]!;
    const { nextAt } = turn;
    const since = Math.max(turn.at, turns[place + 1]!.sentAt);
    if (nextAt - since < IDLE_MS) continue;
    // What a stopped process says when it is continued is heard by nobody.
    const handled = stays.filter(({ session, shown }) => shown.has(place) && shown.get(place)! < rules.deadFrom(session)).map((stay) => {
      const word = lastWordOf(stay, place);
      const time = timeOf(stay, place, turn, rules);
      return { late: time < word, wait: { from: stay.shown.get(place)!, until: Math.min(word, time) }, dead: rules.deadFrom(stay.session) };
    }).filter(({ wait, dead }) => wait.until <= nextAt + CLOCK_MS && wait.until < dead);
    const lastWord = Math.max(turn.at, ...handled.map(({ wait }) => wait.until));
    const culprits = [
      ...owingOf(stays, deaths, place, turn, rules),
      ...unknown.filter(({ at, latest }) => at <= nextAt && latest >= turn.at).map((death): Owing => ({ death, wait: { from: Math.max(turn.at, death.at), until: death.latest } })),
    ];
    const deserted = desertedTimes(stays, turn, rules);
    const overdue = overdueOf([...handled, ...culprits].map(({ wait }) => wait).concat(deserted), since, nextAt);
    if (deserted.some(({ from, until }) => until - Math.max(from, since) > IDLE_MS)) to.deserted++;
    if (culprits.length === 0) {
      if (overdue > idleMs) to.unexplained.push(`${room}: ${overdue.toFixed(0)} ms over ${turn.id}`);
      continue;
    }
    const where = `${room} behind ${turn.id}, ${story(turn, lastWord, culprits)}`;
    if (overdue > to.overdueMs) [to.overdueMs, to.whereOverdue] = [overdue, where];
    // From the death on it waited for others too.
    if (deserted.length > 0 || handled.some(({ late }) => late) || nextAt - lastWord < PROMPT_MS) continue;
    to.count++;
    const died = Math.max(...culprits.map(({ death: { at } }) => at));
    if (nextAt - died > to.longestMs) [to.longestMs, to.where] = [nextAt - died, where];
  }
}
