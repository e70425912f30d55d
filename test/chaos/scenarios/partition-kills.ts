import { setTimeout as sleep } from 'node:timers/promises';
import { createRng, type Rng } from '../../support/seed.js';
import { judge } from '../partition/judge.js';
import { PartitionLoad } from '../partition/load.js';
import type { Member } from '../partition/member.js';
import { PartitionWorld } from '../partition/world.js';
import { heldBy, probe, type ZombieTally } from '../partition/zombie.js';
import { neverHappened, type Outcome, type Scenario, type ScenarioContext } from '../scenario.js';

const TTL_MS = 1_000;
const EVERY_MS = 300;
const WORKERS = 10;
const PARTITIONS = 64;
const KEYS = 1_000;
const PER_SECOND = 1_667;
/** Small, so that the bound on re-runs is a narrow one. */
const PREFETCH = 32;
const QUIET_MS = 4 * TTL_MS + 3_000;

/** Kills and pauses, and keeps ten at work. */
class Faults {
  readonly counts = { kills: 0, pauses: 0, sameName: 0, noVictim: 0 };
  readonly failures: string[] = [];
  readonly zombies: ZombieTally = { tried: 0, accepted: [] };
  private readonly pending = new Set<Promise<unknown>>();
  private starting = 0;

  constructor(private readonly world: PartitionWorld, private readonly rng: Rng) {}

  async go(forMs: number): Promise<void> {
    const until = performance.now() + forMs;
    while (performance.now() < until) {
      await sleep(EVERY_MS);
      const victims = this.world.running();
      if (victims.length < 3) this.counts.noVictim++; // replacements are on their way
      else this.strike(this.rng.pick(victims));
    }
    while (this.pending.size > 0) await Promise.all([...this.pending]);
  }

  private strike(victim: Member): void {
    let name: string | undefined;
    if (this.rng.chance(0.5)) {
      this.counts.kills++;
      this.world.context.say(`SIGKILL of ${victim.process.label}`);
      if (this.rng.chance(0.5)) ({ name } = victim); // as the same pod, started again
      this.note(this.world.kill(victim));
    } else {
      const ms = this.rng.int(TTL_MS, 3 * TTL_MS);
      this.counts.pauses++;
      this.world.context.say(`SIGSTOP of ${victim.process.label} for ${ms} ms`);
      this.note(this.pause(victim, ms));
    }
    // Those that have woken up again count: each fault is replaced, and the group does not grow for ever.
    if (this.world.running().length + this.starting >= WORKERS) return;
    if (name !== undefined) this.counts.sameName++;
    this.starting++;
    this.note(this.world.spawn({ name }).finally(() => this.starting--));
  }

  private async pause(victim: Member, ms: number): Promise<void> {
    const { session } = victim;
    victim.pause();
    const held = await heldBy(this.world, session);
    await sleep(ms); // the fault itself
    await probe(this.world, session, victim.name, held, this.zombies);
    victim.continue();
  }

  private note(work: Promise<unknown>): void {
    const noted = work.catch((error: unknown) => void this.failures.push(String(error))).finally(() => this.pending.delete(noted));
    this.pending.add(noted);
  }
}

async function play(context: ScenarioContext, seconds: number): Promise<Outcome> {
  const options = { partitions: PARTITIONS, ttlMs: TTL_MS, tuning: { prefetch: PREFETCH, concurrency: 3 }, modes: ['auto', 'manual', 'batch'] as const };
  return PartitionWorld.with(context, options, async (world) => {
    const { rng } = context;
    await world.spawnMany(WORKERS);
    const load = new PartitionLoad(world, { perSecond: PER_SECOND, total: Math.round(PER_SECOND * seconds), keys: KEYS, maxWorkMs: 6, rng: rng.fork() });
    const faults = new Faults(world, rng);
    await faults.go(seconds * 1_000);
    await load.done();
    const overAt = performance.now();
    await world.settled(load.count, QUIET_MS);
    const drainedMs = Math.round(performance.now() - overAt);
    const breaches = await world.leftovers(QUIET_MS);
    const letters = await world.client.deadLetters(world.ref);
    const members = [...world.members];
    await Promise.all(members.map((member) => world.stop(member))).catch((error: unknown) => breaches.push(String(error)));
    const { counts, breaches: broken } = judge(await world.ledger.entries(), load.sent, PREFETCH);
    breaches.push(...broken);
    if (letters.length > 0) breaches.push(`${letters.length} dead letters, the first for ${letters[0]?.reason}`);
    if (faults.zombies.accepted.length > 0) breaches.push(`what was sent in the name of a dead session was accepted ${faults.zombies.accepted.length} times: ${faults.zombies.accepted.slice(0, 3).join('; ')}`);
    breaches.push(...neverHappened({ kills: faults.counts.kills, pauses: faults.counts.pauses, zombieCommands: faults.zombies.tried }));
    if (faults.failures.length > 0) breaches.push(`starts failed: ${faults.failures.slice(0, 3).join('; ')}`);
    if (load.failures.length > 0) breaches.push(`${load.failures.length} sends failed: ${load.failures[0]}`);
    const { tried, accepted } = faults.zombies;
    return { verdict: { ...counts, deadLettered: letters.length, ...faults.counts, zombieCommands: tried, zombieAccepted: accepted.length, drainedMs, troubles: world.troubles().length }, breaches };
  });
}

export const partitionKills: Scenario = {
  name: 'partition-kills',
  about: 'ten members; every 300 ms a random one is SIGKILLed or SIGSTOPped, and replaced: nothing lost, nothing out of order; five seeds',
  takesSeconds: 350,
  run: async (context) => {
    const seconds = context.seconds ?? (context.short ? 15 : 60);
    // The first is the run's own, so that each of them can be run again by `--seed`.
    const seeds = context.short ? [context.seed] : [context.seed, ...Array.from({ length: 4 }, () => context.rng.int(1, 2 ** 31 - 1))];
    const outcomes: Outcome[] = [];
    for (const [i, seed] of seeds.entries()) {
      if (seeds.length > 1) context.say(`seed ${i + 1} of ${seeds.length}: ${seed}`);
      const outcome = await play({ ...context, seed, rng: createRng(seed) }, seconds);
      if (seeds.length > 1) context.say(`seed ${seed}: ${JSON.stringify(outcome.verdict)}`);
      outcomes.push(outcome);
    }
    const total: Record<string, number> = {};
    for (const { verdict } of outcomes) {
      for (const [name, value] of Object.entries(verdict as Record<string, number>)) total[name] = name === 'rerunsOfOneLoss' || name === 'drainedMs' ? Math.max(total[name] ?? 0, value) : (total[name] ?? 0) + value;
    }
    return { verdict: { seeds, secondsEach: seconds, ...total }, breaches: outcomes.flatMap(({ breaches }, i) => breaches.map((text) => (seeds.length > 1 ? `seed ${seeds[i]}: ${text}` : text))) };
  },
};
