import { breachesOf, judge } from '../judge.js';
import type { Scenario } from '../scenario.js';
import { World } from '../world.js';

/** Slow handlers of the long form run ten times as long; the short form, which may share its machine, has a ttl that no busy machine takes a live process past. */
const TTL = { long: { ttlMs: 500, slowMs: 5_000 }, short: { ttlMs: 1_000, slowMs: 4_000 } };

/**
 * Slow is not dead: a handler of many times the ttl on a live process keeps its stream (invariant 5). A process
 * whose event loop is stuck past the ttl sends no heartbeat: its streams go elsewhere, each exactly once, and
 * what its handlers do when the loop turns again is refused.
 */
export const slowAndBlocked: Scenario = {
  name: 'slow-and-blocked',
  about: 'a slow handler is never taken over; a blocked event loop is, exactly once',
  takesSeconds: 30,
  run: (context) => World.with(context, { ttlMs: TTL[context.short ? 'short' : 'long'].ttlMs }, async (world) => {
    const { ttlMs, slowMs } = TTL[context.short ? 'short' : 'long'];
    const rounds = context.short ? 2 : 15;
    await world.spawn(4);
    const slow = Array.from({ length: 8 }, (_, i) => `slow-${i}`);
    await Promise.all(slow.map((stream) => world.announce(stream, { workMs: slowMs })));
    await world.until('slow streams run', () => slow.every((stream) => world.latest.has(stream)));
    let takenOver = 0;
    let notOnce = 0;
    const blockedOwners = new Set<string>();
    // One victim holds no slow stream in the first rounds, so that these are on live processes all along.
    const busy = new Set(slow.map((stream) => world.latest.get(stream)?.by));
    for (let i = 0; i < rounds; i++) {
      const streams = Array.from({ length: 12 }, (_, n) => `blocked-${i}-${n}`);
      if (i === 0) {
        await world.until('slow streams are done', () => slow.every((stream) => world.reported('settled').some((report) => report.stream === stream)), slowMs + 10_000);
        context.say(`${slow.length} handlers of ${slowMs} ms on ${busy.size} live processes are done (ttl ${ttlMs} ms)`);
      }
      await Promise.all(streams.map((stream) => world.announce(stream)));
      await world.until('streams run', () => streams.every((stream) => world.latest.has(stream)));
      const victim = context.rng.pick(world.running().filter(({ name }) => streams.some((stream) => world.latest.get(stream)?.by === name)));
      const held = streams.filter((stream) => world.latest.get(stream)?.by === victim.name);
      blockedOwners.add(victim.name);
      const before = victim.session;
      const ms = context.rng.int(2 * ttlMs, (context.short ? 2.5 : 3) * ttlMs);
      await victim.ask({ type: 'block', ms }, 'unblocked');
      await world.until('the blocked worker is back', () => victim.session !== before);
      await world.until('its streams run elsewhere', () => held.every((stream) => world.runs.filter((run) => run.stream === stream).length >= 2));
      for (const consumer of world.running()) consumer.send({ type: 'finish' });
      await world.drained();
      world.sync();
      for (const stream of streams) {
        const runs = world.runs.filter((run) => run.stream === stream);
        const expected = held.includes(stream) ? 2 : 1;
        if (expected === 2) takenOver++;
        if (runs.length !== expected) notOnce++;
      }
      context.say(`event loop of ${victim.name} blocked for ${ms} ms: ${held.length} streams taken over`);
    }
    const slowRuns = world.runs.filter(({ stream }) => stream.startsWith('slow-')).length;
    const judgement = judge(world.ledger.events);
    const breaches = breachesOf(judgement);
    if (slowRuns !== slow.length) breaches.push(`${slowRuns} runs of ${slow.length} slow handlers on live processes`);
    if (notOnce > 0) breaches.push(`${notOnce} streams did not run exactly once more after their owner's loop was blocked, or ran again on a live one`);
    return { verdict: { ...judgement, slow: slow.length, slowRuns, rounds, takenOver, notOnce, blockedWorkers: blockedOwners.size }, breaches };
  }),
};
