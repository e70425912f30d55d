import { Findings } from '../partition/findings.js';
import { deathsOf, type Death } from './deaths.js';
import { checkStay, type Rules } from './lockstep.js';
import { labelOf, type Entry } from './record.js';
import { addStalls, noStalls } from './stalls.js';
import { visitsOf, type Stay } from './stays.js';
import { Timeline } from './timeline.js';
import type { Release } from './witness.js';

export interface Evidence {
  /** The ledger, in its order. */
  readonly entries: readonly Entry[];
  /** Of each room, what went out. */
  releases(room: string): readonly Release[];
  /** Of each room, the ids of accepted messages. */
  readonly sent: ReadonlyMap<string, readonly string[]>;
  /** Rooms whose messages had priorities. */
  readonly mixed: ReadonlySet<string>;
  /** Sessions of killed and stopped processes, as far as the server knew them. */
  readonly deaths: ReadonlyMap<string, Death>;
  /** Label of a killed process -> when. */
  readonly killed: ReadonlyMap<string, number>;
  /** By then all rooms waited for nobody. */
  readonly endAt: number;
  readonly ttlMs: number;
  /** A room may stand still for so long after a death, */
  readonly stallAllowedMs: number;
  /** of that for so long after the last deadline it had to wait for, */
  readonly overdueAllowedMs: number;
  /** and for so long without one. */
  readonly idleAllowedMs: number;
  readonly ackTimeoutMs: number;
  readonly roomTimeoutMs: number;
}

export interface Judgement {
  readonly counts: Record<string, number>;
  readonly breaches: string[];
}

const FORBIDDEN = {
  violations: 'times the next message went out before a member had acknowledged the last one, left or been ejected',
  inversions: 'messages were shown out of their order',
  duplicates: 'messages were shown to one handler twice, and not as redelivered or retried',
  lost: 'accepted messages were shown to nobody',
  lostForLive: 'messages did not reach a subscriber that was a member all along',
  unexpected: 'messages were shown that never went out',
  uninvited: 'messages were shown to subscribers that were not in their room',
  redeliveredThoughAcked: 'messages went out again although a live member had acknowledged them in time',
};

/** A pure count over what ledger, witness and server said. */
export function judge(evidence: Evidence): Judgement {
  const found = new Findings(FORBIDDEN);
  const stalls = noStalls();
  const deaths = deathsOf(evidence.entries, evidence.deaths, evidence.killed, evidence.ttlMs);
  const { ackTimeoutMs, roomTimeoutMs, stallAllowedMs, overdueAllowedMs, idleAllowedMs } = evidence;
  const rules: Rules = { deadFrom: (session) => deaths.get(session)?.deadline ?? Infinity, stoppedFrom: (session) => deaths.get(session)?.at ?? Infinity, ackTimeoutMs, roomTimeoutMs };
  const counts = { shown: 0, acked: 0, released: 0, redelivered: 0, retried: 0, stays: 0, silent: deaths.size - evidence.deaths.size, latestMs: 0 };
  const scopes = new Map(evidence.entries.flatMap(({ kind, detail }) => (kind === 'session' ? [scopeOf(detail)] : [])));
  const ejected: Record<string, number> = {};
  for (const { kind, detail } of evidence.entries) if (kind === 'out') ejected[detail] = (ejected[detail] ?? 0) + 1;
  for (const [room, subs] of byRoom(evidence.entries)) {
    const timeline = new Timeline(evidence.releases(room), evidence.endAt);
    const { turns } = timeline;
    const stays: Stay[] = [];
    const seen = new Set<string>();
    for (const [sub, entries] of subs) {
      const visits = visitsOf(entries, timeline);
      counts.shown += visits.sequence.length;
      counts.retried += visits.retries;
      counts.stays += visits.stays.length;
      for (const text of visits.unknown) found.add('unexpected', `${room}: ${text}`);
      for (const text of visits.uninvited) found.add('uninvited', `${room}: ${text}`);
      visits.sequence.forEach((place, i) => {
        seen.add(turns[place]!.id);
        if (i === 0 || place > visits.sequence[i - 1]!) return;
        const sample = `${room}: ${turns[place]!.id} to ${sub} after ${turns[visits.sequence[i - 1]!]!.id}`;
        found.add(visits.sequence.indexOf(place) < i ? 'duplicates' : 'inversions', sample);
      });
      for (const stay of visits.stays) {
        counts.acked += stay.acked.size;
        for (const [place, at] of stay.shown) counts.latestMs = Math.max(counts.latestMs, Math.round(at - turns[place]!.at));
        if (stay.sync) checkStay(stay, timeline, timeline.firstAfter(stay.from), rules, room, found);
        stays.push(stay);
      }
    }
    counts.released += turns.length;
    turns.forEach((turn, place) => {
      if (turn.redelivery > 0) counts.redelivered++;
      const before = turns[place - 1];
      if (before && !evidence.mixed.has(room) && Number(turn.id) < Number(before.id)) found.add('inversions', `${room}: ${turn.id} went out after ${before.id}`);
      if (turn.redelivery > 0) for (const text of acknowledgedBefore(timeline, turn.id, turn.redelivery, stays, rules)) found.add('redeliveredThoughAcked', `${room}: ${text}`);
    });
    addStalls({ room, timeline, stays: stays.filter(({ sync }) => sync), deaths: deathsIn([...subs.keys()], stays, deaths, scopes) }, rules, idleAllowedMs, stalls);
    for (const id of evidence.sent.get(room) ?? []) if (!seen.has(id)) found.add('lost', `${room}: ${id}${timeline.placeOf(id, 0) < 0 ? ', which never went out' : ''}`);
  }
  const breaches = found.breaches();
  if (stalls.longestMs > stallAllowedMs) breaches.push(`a room stood still for ${stalls.longestMs.toFixed(0)} ms after a death (allowed ${stallAllowedMs}): ${stalls.where}`);
  if (stalls.overdueMs > overdueAllowedMs) breaches.push(`a room stood still for ${stalls.overdueMs.toFixed(0)} ms when no deadline was running (allowed ${overdueAllowedMs}): ${stalls.whereOverdue}`);
  if (stalls.unexplained.length > 0) breaches.push(`rooms stood still ${stalls.unexplained.length} times for more than ${idleAllowedMs} ms and no reason: ${stalls.unexplained.slice(0, 3).join('; ')}`);
  const sent = [...evidence.sent.values()].reduce((sum, { length }) => sum + length, 0);
  if (sent === 0 || counts.shown === 0) breaches.push(`${sent} messages were sent and ${counts.shown} shown: this run shows nothing`);
  const of = (reason: string): number => ejected[reason] ?? 0;
  return {
    counts: {
      sent, ...counts, ...found.counts,
      ejected: Object.values(ejected).reduce((sum, n) => sum + n, 0), ejectedLate: of('timeout') + of('expired'), ejectedDead: of('session-lost'),
      stalls: stalls.count, longestStallMs: Math.round(stalls.longestMs), stallAllowedMs, longestOverdueMs: Math.round(stalls.overdueMs), overdueAllowedMs, idleAllowedMs, deserted: stalls.deserted,
    },
    breaches,
  };
}

const scopeOf = (detail: string): [session: string, scope: string] => [detail.slice(0, detail.indexOf(' ')), detail.slice(detail.indexOf(' ') + 1)];

/** Deaths of processes with these subscribers, without their sessions elsewhere than in their room's shard. */
function deathsIn(subs: readonly string[], stays: readonly Stay[], deaths: ReadonlyMap<string, Death>, scopes: ReadonlyMap<string, string>): Map<string, Death> {
  const labels = new Set(subs.map(labelOf));
  const here = stays.map(({ session }) => scopes.get(session)).find((scope) => scope !== undefined);
  return new Map([...deaths].filter(([session, { label }]) => labels.has(label) && (scopes.get(session) ?? here) === here));
}

/** room -> subscriber -> its entries */
function byRoom(entries: readonly Entry[]): Map<string, Map<string, Entry[]>> {
  const rooms = new Map<string, Map<string, Entry[]>>();
  for (const entry of entries) {
    if (entry.room === '-') continue;
    const subs = rooms.get(entry.room) ?? new Map<string, Entry[]>();
    rooms.set(entry.room, subs);
    const list = subs.get(entry.sub);
    if (list) list.push(entry);
    else subs.set(entry.sub, [entry]);
  }
  return rooms;
}

function acknowledgedBefore(timeline: Timeline, id: string, redelivery: number, stays: readonly Stay[], rules: Rules): string[] {
  const before = timeline.placeOf(id, redelivery - 1);
  const againAt = timeline.turns[timeline.placeOf(id, redelivery)]!.at;
  return stays.flatMap(({ sub, sync, session, until, stopping, shown, acked }) => {
    const shownAt = shown.get(before) ?? Infinity;
    const ackedAt = acked.get(before) ?? Infinity;
    // One that was about to leave by then may have been out before it was heard. A stop waits until it is.
    const counts = sync && (ackedAt < until || stopping === true) && ackedAt < shownAt + rules.ackTimeoutMs - 200 && ackedAt < againAt - 500 && rules.deadFrom(session) > againAt;
    return counts ? [`${id} again ${(againAt - ackedAt).toFixed(0)} ms after ${sub} had acknowledged it`] : [];
  });
}
