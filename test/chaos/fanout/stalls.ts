import type { Death } from './deaths.js';
import { timedOut, type Rules } from './lockstep.js';
import type { Stay } from './stays.js';
import type { Timeline } from './timeline.js';

export interface Stalls {
  /** From the death of one it waited for until the room went on. */
  longestMs: number;
  where: string;
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

export const noStalls = (): Stalls => ({ longestMs: 0, where: '-', count: 0, deserted: 0, unexplained: [] });

/** Why a room waited wherever it did. There was always a next message, unless `sentAt` says otherwise. */
export function addStalls(room: string, { turns }: Timeline, stays: readonly Stay[], deaths: ReadonlyMap<string, Death>, inRoom: (label: string) => boolean, rules: Rules, idleMs: number, to: Stalls): void {
  const here = [...deaths.values()].filter(({ label }) => inRoom(label));
  for (let place = 0; place + 1 < turns.length; place++) {
    const turn = turns[place]!;
    const { nextAt } = turn;
    const stoodMs = nextAt - Math.max(turn.at, turns[place + 1]!.sentAt);
    if (stoodMs < IDLE_MS) continue;
    const members = stays.filter(({ from, until, sync }) => sync && from < nextAt && until > turn.at);
    const lastAck = Math.max(...members.map(({ acked }) => acked.get(place) ?? 0).filter((on) => on <= nextAt), turn.at);
    if (nextAt - lastAck < PROMPT_MS) continue; // it waited for one that was slow
    if (members.some((stay) => stay.shown.has(place) && (stay.acked.get(place) ?? Infinity) > nextAt && rules.deadFrom(stay.session) > nextAt && timedOut(stay, place, turn, rules))) continue;
    const owing = members.flatMap((stay) => {
      const death = deaths.get(stay.session);
      return death && death.at <= nextAt && death.deadline > turn.at - EJECTED_MS && (stay.acked.get(place) ?? Infinity) > death.at - IN_FLIGHT_MS ? [death] : [];
    });
    const culprits = owing.length > 0 ? owing : here.filter(({ at, deadline }) => at <= nextAt && deadline >= turn.at);
    if (culprits.length === 0) {
      if (!stays.some(({ from, until, session, sync }) => sync && from < nextAt - IDLE_MS && until > nextAt && rules.deadFrom(session) > nextAt)) to.deserted++;
      else if (stoodMs > idleMs) to.unexplained.push(`${room}: ${(nextAt - lastAck).toFixed(0)} ms after ${turn.id}`);
      continue;
    }
    // Nobody was left: the next message waited for one to come.
    const over = Math.max(...culprits.map(({ deadline }) => deadline));
    if (!stays.some(({ from, until, session, sync }) => sync && from < over && until > nextAt && rules.deadFrom(session) > nextAt)) {
      to.deserted++;
      continue;
    }
    to.count++;
    const died = Math.max(...culprits.map(({ at }) => at));
    if (nextAt - died <= to.longestMs) continue;
    to.longestMs = nextAt - died;
    to.where = `${room} behind ${turn.id}, over ${culprits.map(({ label }) => label).join(' ')}`;
  }
}
