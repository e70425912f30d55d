import type { Entry } from './record.js';
import type { Timeline } from './timeline.js';

/** One subscriber's time in a room, from its `in` to its `out`. Places are those of its room's timeline. */
export interface Stay {
  readonly sub: string;
  readonly sync: boolean;
  readonly session: string;
  /** The ledger had its `in`, so it was in before. */
  readonly from: number;
  /** It was out, or about to leave. */
  until: number;
  /** It leaves because its process stops, which waits for its handler first. */
  stopping?: boolean;
  /** Why it was ejected, if it was before it meant to leave. */
  ejectedFor?: string;
  /** Place -> when its handler was called, by the worker's clock. */
  readonly shown: Map<number, number>;
  /** Place -> the ledger had its acknowledgement, so the library was told later. */
  readonly acked: Map<number, number>;
}

export interface Visits {
  readonly stays: Stay[];
  /** Places in the order in which the subscriber's handler was called with them, first attempts alone. */
  readonly sequence: number[];
  readonly retries: number;
  /** Ids that nobody has seen going out. */
  readonly unknown: string[];
  /** Shown before it was in, or after it was out. */
  readonly uninvited: string[];
}

/** What one subscriber wrote down, taken together. */
export function visitsOf(entries: readonly Entry[], timeline: Timeline): Visits {
  const stays: Stay[] = [];
  const sequence: number[] = [];
  const unknown: string[] = [];
  const uninvited: string[] = [];
  let retries = 0;
  let stay: Stay | undefined;
  /** After this it may be in once more, when it was out as it said so; nobody need wait for it. */
  let leftAt = Infinity;
  let isIn = false;
  for (const { kind, on, at, sub, id, redelivery, detail } of entries) {
    switch (kind) {
      case 'in': {
        const [mode, session = '-'] = detail.split(' ');
        stay = { sub, sync: mode === 'sync', session, from: on, until: leftAt, shown: new Map(), acked: new Map() };
        stays.push(stay);
        isIn = true;
        break;
      }
      case 'out':
        if (stay && at < stay.until) [stay.until, stay.ejectedFor] = [at, detail];
        isIn = false;
        break;
      case 'leaving':
        leftAt = on;
        if (stay && on < stay.until) [stay.until, stay.stopping] = [on, detail === 'stop'];
        break;
      case 'shown': {
        const place = timeline.placeOf(id, redelivery);
        if (place < 0) unknown.push(`${id} redelivery ${redelivery} to ${sub}`);
        else if (detail !== '1') retries++;
        else {
          sequence.push(place);
          if (!isIn || !stay) uninvited.push(`${id} to ${sub}`);
          stay?.shown.set(place, at);
        }
        break;
      }
      case 'acked': {
        // A handler may end after its stay; what it says then is of the stay in which it began.
        const place = timeline.placeOf(id, redelivery);
        const of = stays.findLast(({ shown }) => shown.has(place));
        if (of && !of.acked.has(place)) of.acked.set(place, on);
        break;
      }
      default:
    }
  }
  return { stays, sequence, retries, unknown, uninvited };
}
