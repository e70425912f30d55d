import type { Rng } from '../../support/seed.js';
import { RoomFaults } from '../fanout/faults.js';
import { RoomLoad } from '../fanout/load.js';
import type { Place } from '../fanout/messages.js';
import { verdictOf } from '../fanout/verdict.js';
import { FanoutWorld } from '../fanout/world.js';
import { neverHappened, type Scenario } from '../scenario.js';

const TTL_MS = 1_000;
const ACK_TIMEOUT_MS = 2_000;
const EVERY_MS = 500;
const WORKERS = 8;
/** On a busy machine a process takes seconds to load, and in that time so many are killed. */
const SPARES = 6;
/** In each room, in three processes; a ninth only listens. */
const SUBSCRIBERS = 8;
const PROCESSES = 3;
const PER_ROOM = 1_000;
/** Every fifth room's messages have priorities. */
const MIXED = 5;

/** Who is in which room, and with how many. Not everybody in all, else there would be a dead one in each at any time. */
function plan(rooms: readonly string[], mixed: ReadonlySet<string>, rng: Rng): Place[][] {
  const places: Place[][] = Array.from({ length: WORKERS }, () => []);
  for (const room of rooms) {
    const chosen = rng.shuffle(places).sort((a, b) => a.length - b.length).slice(0, PROCESSES);
    const shares = chosen.map(() => 1);
    // In every other room the first has one alone, for whom nobody else there acknowledges.
    const first = rng.chance(0.5) ? 1 : 0;
    for (let i = PROCESSES; i < SUBSCRIBERS; i++) shares[rng.int(first, PROCESSES - 1)]!++;
    chosen.forEach((place, i) => place.push({ room, sync: shares[i]!, async: i === 0 ? 1 : 0, plain: !mixed.has(room) }));
  }
  return places;
}

export const fanoutLockstep: Scenario = {
  name: 'fanout-lockstep',
  about: '50 rooms x 8 subscribers x 1,000 messages, wrong acks, joins and leaves; one process killed every 500 ms, others stopped: in lock-step, nothing lost',
  takesSeconds: 200,
  run: (context) => {
    const { short, rng, say } = context;
    const mischief = { acks: 100, stalls: 0.3, throws: 2, churn: true };
    return FanoutWorld.with(context, { rooms: short ? 12 : 50, ttlMs: TTL_MS, ackTimeoutMs: ACK_TIMEOUT_MS, mischief, spares: SPARES }, async (world) => {
      const mixed = new Set(world.rooms.filter((_, i) => i % MIXED === MIXED - 1));
      await Promise.all(plan(world.rooms, mixed, rng).map((places) => world.spawn(places)));
      const seconds = context.seconds ?? (short ? 4 : 420);
      const startedAt = performance.now();
      const load = new RoomLoad(world, { perRoom: short || context.seconds !== undefined ? Infinity : PER_ROOM, forMs: seconds * 1_000, rng: rng.fork(), mixed });
      let sent = false;
      void load.done().then(() => (sent = true));
      const faults = new RoomFaults(world, rng, EVERY_MS);
      await faults.go(() => sent);
      say(`${load.count} messages sent in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
      const { verdict, breaches: broken } = await verdictOf(world, load, mixed);
      const breaches = [...broken];
      breaches.push(...faults.breaches());
      const { old, foreign, twice, late, joins, leaves, overlaps } = world.deeds;
      breaches.push(...neverHappened({ old, foreign, twice, late, joins, leaves, overlaps }));
      if (!short && context.seconds === undefined && load.count < PER_ROOM * world.rooms.length) breaches.push(`only ${load.count} messages were sent in ${seconds} s`);
      return { verdict: { ...verdict, ...faults.counts }, breaches };
    });
  },
};
