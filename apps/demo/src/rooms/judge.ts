import type { RoomJournal, Sight, Stay } from './journal.js';

/** One tick of a room, as its clients saw it. */
interface TickRecord {
  readonly tick: number;
  readonly id: string;
  readonly sentAt: number;
  /** Place and time at which the first client saw it. */
  readonly order: number;
  readonly seenAt: number;
  readonly seenBy: string;
}

/** Time in which nobody in a room saw a tick. */
export interface Gap {
  readonly room: string;
  readonly from: number;
  readonly to: number;
}

export interface RoomFigures {
  readonly ticks: number;
  readonly deliveries: number;
  readonly violations: number;
  /** Clients that did not acknowledge, and instances that died: what rooms went on without. */
  readonly ejected: number;
  readonly longestStallMs: number;
}

export interface RoomJudgement {
  readonly figures: RoomFigures;
  readonly ejectedClients: readonly string[];
  readonly ejectedInstances: readonly string[];
  /** A tick shown while somebody live had not acknowledged the one before. */
  readonly early: number;
  /** Ticks that somebody live was not shown. */
  readonly missed: number;
  /** Ticks shown out of their order, or under another id than to others. */
  readonly disordered: number;
  /** Shown again to a client that came back, since nobody alive had acknowledged it. */
  readonly repeats: number;
  readonly gaps: readonly Gap[];
  readonly problems: readonly string[];
}

/** Goes through what the clients recorded. Takes nobody's word for an acknowledgement but that of the client that made it. */
export function judge(journal: RoomJournal): RoomJudgement {
  const rooms = [...new Set(journal.stays.map(({ room }) => room))];
  const faults: Faults = { early: [], missed: [], disordered: [] };
  const gaps: Gap[] = [], ejectedInstances = new Set<string>();
  let ticks = 0, repeats = 0;
  for (const room of rooms) {
    const stays = journal.stays.filter((stay) => stay.room === room);
    const records = recordsOf(stays, faults);
    ticks += records.length;
    gaps.push(...gapsBetween(room, records));
    for (const stay of stays) checkStay(stay, records, faults);
    repeats += checkOrder(stays, faults);
    for (const instance of journal.wentOnWithout(room)) ejectedInstances.add(instance);
  }
  const ejectedClients = journal.stays.filter(({ over }) => over?.why === 'ejected').map(({ client }) => client);
  const problems = [...faults.disordered, ...faults.missed, ...faults.early];
  return {
    figures: {
      ticks,
      deliveries: journal.stays.reduce((sum, { seen }) => sum + seen.length, 0),
      violations: problems.length,
      ejected: ejectedClients.length + ejectedInstances.size,
      longestStallMs: gaps.reduce((max, { from, to }) => Math.max(max, to - from), 0),
    },
    ejectedClients, ejectedInstances: [...ejectedInstances], repeats, gaps, problems,
    early: faults.early.length, missed: faults.missed.length, disordered: faults.disordered.length,
  };
}

type Faults = Readonly<Record<'early' | 'missed' | 'disordered', string[]>>;

function recordsOf(stays: readonly Stay[], { disordered }: Faults): TickRecord[] {
  const records = new Map<number, TickRecord>();
  for (const { client, room, seen } of stays) {
    for (const { tick, id, at, order, seenAt } of seen) {
      const known = records.get(tick);
      if (known && known.id !== id) disordered.push(`${room}: tick ${tick} is message ${known.id} for ${known.seenBy} and ${id} for ${client}`);
      if (!known || order < known.order) records.set(tick, { tick, id, sentAt: at, order, seenAt, seenBy: client });
    }
  }
  return [...records.values()].toSorted((a, b) => a.tick - b.tick);
}

/** Times between the first sight of one tick and of the next. */
export function gapsOf(journal: RoomJournal, room: string): Gap[] {
  return gapsBetween(room, recordsOf(journal.stays.filter((stay) => stay.room === room), { early: [], missed: [], disordered: [] }));
}

function gapsBetween(room: string, records: readonly TickRecord[]): Gap[] {
  return records.slice(1).map(({ seenAt }, i) => ({ room, from: records[i]?.seenAt ?? seenAt, to: seenAt }));
}

/** Each tick from its first on: acknowledged before anybody saw the next one, unless the stay was over by then. */
function checkStay(stay: Stay, records: readonly TickRecord[], { early, missed }: Faults): void {
  const { client, room, joinedAt, over } = stay;
  const first = Math.min(stay.seen[0]?.tick ?? Number.POSITIVE_INFINITY, records.find(({ sentAt }) => sentAt > joinedAt)?.tick ?? Number.POSITIVE_INFINITY);
  for (const [i, { tick }] of records.entries()) {
    if (tick < first) continue;
    const next = records[i + 1];
    const acked = stay.acked.get(tick);
    if (acked !== undefined && (next === undefined || acked < next.order)) continue;
    // The word of an ejection comes over another socket than the next tick, so either may be read first.
    if (over && (over.why === 'ejected' || next === undefined || over.order < next.order)) return;
    if (!stay.seen.some((sight) => sight.tick === tick)) missed.push(`${room}: ${client} was never shown tick ${tick}`);
    else early.push(next ? `${room}: ${next.seenBy} was shown tick ${next.tick} before ${client} had acknowledged tick ${tick}` : `${room}: ${client} has not acknowledged the last tick, ${tick}`);
  }
}

/** Rising in a stay; a client that comes back may be shown its last tick again. @returns how often that was. */
function checkOrder(stays: readonly Stay[], { disordered }: Faults): number {
  let repeats = 0;
  const last = new Map<string, number>();
  for (const { client, room, seen } of stays) {
    seen.forEach(({ tick }: Sight, i) => {
      const before = last.get(client) ?? 0;
      if (tick < before || (tick === before && i > 0)) disordered.push(`${room}: ${client} was shown tick ${tick} after tick ${before}`);
      else if (tick === before) repeats++;
      last.set(client, tick);
    });
  }
  return repeats;
}
