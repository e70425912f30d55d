import { setTimeout as sleep } from 'node:timers/promises';
import { breachesOf, judge } from '../judge.js';
import { Load } from '../load.js';
import type { Scenario } from '../scenario.js';
import { World } from '../world.js';

const TTL_MS = 800;

/**
 * Consumers come and go in every way there is, under steady announcements.
 *
 * A graceful stop may release a stream (its handler gave up on the signal) and so make it run again, but must
 * cause no second effect: an effect that was followed by another of the same stream, although its owner did
 * nothing but stop gracefully, is a duplicate of the stop's making (invariant 8).
 */
export const killRandom: Scenario = {
  name: 'kill-random',
  about: 'six consumers; every 500 ms a random one is SIGKILLed, SIGSTOPped or stopped gracefully, and replaced',
  takesSeconds: 75,
  run: (context) => World.with(context, { ttlMs: TTL_MS }, async (world) => {
    const { rng } = context;
    const seconds = context.seconds ?? (context.short ? 8 : 60);
    await world.spawn(6);
    const load = new Load(world, { perSecond: 60, rng: rng.fork(), work: (draw) => ({ workMs: draw.int(5, 600), stubborn: draw.chance(0.3) }) });
    const counts = { kill: 0, pause: 0, stop: 0 };
    // Only those that never lost their session, as by a pause past the deadline: what ran twice for that is not the stop's doing.
    const graceful = new Set<string>();
    const paused = new Set<string>();
    const pending: Promise<unknown>[] = [];
    const failures: string[] = [];
    const note = (error: unknown): void => void failures.push(String(error));
    const until = performance.now() + seconds * 1_000;
    while (performance.now() < until) {
      await sleep(500);
      const victims = world.running();
      if (victims.length < 3) continue; // replacements are on their way
      const victim = rng.pick(victims);
      const fault = rng.pick(['kill', 'pause', 'stop'] as const);
      counts[fault]++;
      context.say(`${{ kill: 'SIGKILL', pause: 'SIGSTOP', stop: 'graceful stop' }[fault]} of ${victim.name}`);
      switch (fault) {
        case 'kill':
          pending.push(victim.kill(), world.spawn(1).catch(note));
          break;
        case 'pause':
          paused.add(victim.name);
          victim.pause();
          pending.push(sleep(rng.int(TTL_MS / 2, 3 * TTL_MS)).then(() => victim.continue()));
          break;
        case 'stop':
          world.sync();
          if (!paused.has(victim.name) && !world.reports.some(({ by, report }) => by === victim.name && report.type === 'lost')) graceful.add(victim.name);
          pending.push(victim.stop().catch(note), world.spawn(1).catch(note));
          break;
      }
    }
    await load.stop();
    await Promise.all(pending);
    await world.drained(60_000);
    const judgement = judge(world.ledger.events);
    const breaches = breachesOf(judgement);
    const leftBehind = duplicatesOfStops(world, graceful);
    const unhandled = world.reported('unhandled');
    if (leftBehind > 0) breaches.push(`${leftBehind} effects were repeated although their first owner stopped gracefully`);
    if (unhandled.length > 0) breaches.push(`${unhandled.length} unhandled rejections: ${unhandled[0]?.message}`);
    if (failures.length > 0) breaches.push(`stops or starts failed: ${failures.slice(0, 3).join('; ')}`);
    if (load.failures.length > 0) breaches.push(`${load.failures.length} announcements failed: ${load.failures[0]}`);
    return { verdict: { ...judgement, announced: load.count, ...counts, duplicatesOfStops: leftBehind }, breaches };
  }),
};

function duplicatesOfStops(world: World, graceful: ReadonlySet<string>): number {
  const first = new Map<string, string>();
  let repeated = 0;
  for (const { kind, resource, id, by, accepted } of world.ledger.events) {
    if (kind !== 'effect' || id !== undefined || !accepted) continue;
    const owner = first.get(resource);
    if (owner === undefined) first.set(resource, by ?? '');
    else if (graceful.has(owner)) repeated++;
  }
  return repeated;
}
