import { setTimeout as sleep } from 'node:timers/promises';
import { type Outcome, within } from '../scenario.js';
import { judge } from './judge.js';
import type { RoomLoad } from './load.js';
import type { FanoutWorld } from './world.js';

/** The server's own grace behind `fanout.ackTimeoutMs`, see fanout/store.ts. */
const GRACE_MS = 500;
const QUIET_MS = 30_000;
/** Behind the deadline of the last one that a room waited for. */
const OVERDUE_MS = 1_000;
/** A room that has something to show goes on, or somebody knows why not. */
const IDLE_MS = 1_000;

/** Waits until all that was sent is done, stops everybody, and judges. */
export async function verdictOf(world: FanoutWorld, load: RoomLoad, mixed: ReadonlySet<string>): Promise<Outcome> {
  const breaches: string[] = [];
  const since = performance.now();
  await world.until('all rooms are done', async () => (await world.unfinished()).length === 0, QUIET_MS).catch((error: unknown) => void breaches.push(String(error)));
  const stuck = await world.unfinished();
  if (stuck.length > 0) breaches.push(`${stuck.length} rooms are not done: ${stuck.slice(0, 5).join(', ')}`);
  const endAt = world.now();
  const drainedMs = Math.round(performance.now() - since);
  await world.until('awaited sends are answered', () => load.open === 0, within(world.context, 5_000)).catch(() => void breaches.push(`${load.open} awaited sends were never answered`));
  await sleep(100); // the ledger hears of what was shown last
  const members = [...world.members];
  await Promise.all(members.map((member) => world.stop(member))).catch((error: unknown) => breaches.push(String(error)));
  const { ttlMs, ackTimeoutMs, idleMs = IDLE_MS } = world.options;
  const { counts, breaches: broken } = judge({
    entries: await world.ledger.entries(), releases: (room) => world.witness.releases(room), sent: load.sent, mixed, deaths: world.deaths, killed: world.killed,
    endAt, ttlMs, stallAllowedMs: within(world.context, ttlMs + OVERDUE_MS), overdueAllowedMs: within(world.context, OVERDUE_MS), idleAllowedMs: within(world.context, idleMs), ackTimeoutMs, roomTimeoutMs: world.roomTimeoutMs + GRACE_MS,
  });
  breaches.push(...broken, ...world.leftovers());
  if (load.failures.length > 0) breaches.push(`${load.failures.length} sends failed: ${load.failures[0]}`);
  return { verdict: { rooms: world.rooms.length, ...counts, awaited: load.awaited, drainedMs, ...world.deeds, troubles: world.troubles().length }, breaches };
}
