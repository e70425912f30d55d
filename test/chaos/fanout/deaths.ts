import { type Entry, labelOf } from './record.js';

/**
 * Of a session: when its process was killed or stopped, or fell silent; from when on the server may take it for dead, and from
 * when on it must.
 */
export interface Death { readonly label: string; readonly at: number; readonly deadline: number; readonly latest: number }

/** What a heartbeat's time is known to. */
const SLACK_MS = 100;
/** A heartbeat comes each such part of the ttl. */
const HEARTBEAT = 1 / 3;

/**
 * Sessions die by what the runner did to them, then their deadline was read from the server; or, on a machine with more to do
 * than it can, by a silence that they tell of themselves, or did not come to tell of before they were killed. Then it is
 * reckoned from the last heartbeat. They stop trusting themselves, and may replace the session, a twentieth of the ttl early.
 */
export function deathsOf(entries: readonly Entry[], forced: ReadonlyMap<string, Death>, killed: ReadonlyMap<string, number>, ttlMs: number): Map<string, Death> {
  const deaths = new Map(forced);
  const renewedAt = new Map<string, number>();
  const owners = new Map<string, string>();
  const silent = (session: string, label: string, at: number): void => {
    const renewed = renewedAt.get(session) ?? 0;
    const deadline = renewed + ttlMs * 0.95 - SLACK_MS;
    const known = deaths.get(session);
    // One more heartbeat may have been accepted and never told of.
    if (!known) deaths.set(session, { label, at, deadline, latest: renewed + ttlMs * (1 + HEARTBEAT) + SLACK_MS });
    else if (deadline < known.deadline) deaths.set(session, { ...known, deadline });
  };
  for (const { kind, at, sub, detail } of entries) {
    const [session] = detail.split(' ') as [string];
    if (kind === 'session') owners.set(session, labelOf(sub));
    if (kind === 'session' || kind === 'renewed') renewedAt.set(session, at);
    if (kind === 'lost') silent(session, labelOf(sub), renewedAt.get(session) ?? at);
  }
  for (const [session, label] of owners) {
    const killedAt = killed.get(label);
    if (killedAt !== undefined && !deaths.has(session)) silent(session, label, killedAt);
  }
  return deaths;
}
