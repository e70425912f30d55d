import { setTimeout as sleep } from 'node:timers/promises';
import type { Rng } from '../../support/seed.js';
import { QueueWorld } from '../queue/world.js';
import type { ConsumerProcess } from '../queue/workers.js';
import { probe, type ZombieTally } from '../queue/zombie.js';
import { neverHappened, type Scenario } from '../scenario.js';

const TTL_MS = 1_000;
const EVERY_MS = 300;
const PRODUCERS = 2;
const PER_SECOND = 1_500;
/** Small, so that the bound on re-runs is a narrow one. */
const PREFETCH = 48;
const QUIET_MS = 4 * TTL_MS + 3_000;

/** Kills and pauses, and keeps so many at work. */
class Faults {
  readonly counts = { kills: 0, pauses: 0, sameName: 0, noVictim: 0 };
  readonly failures: string[] = [];
  readonly zombies: ZombieTally = { tried: 0, accepted: [] };
  private readonly pending = new Set<Promise<unknown>>();
  private starting = 0;

  constructor(private readonly world: QueueWorld, private readonly rng: Rng, private readonly size: number) {}

  async go(forMs: number): Promise<void> {
    const until = performance.now() + forMs;
    while (performance.now() < until) {
      await sleep(EVERY_MS);
      this.note(this.world.sync()); // or the ledger is read when all is over, and that counts as the time the queue needs
      const victims = this.world.running();
      if (victims.length < 3) this.counts.noVictim++; // replacements are on their way
      else this.strike(this.rng.pick(victims));
    }
    while (this.pending.size > 0) await Promise.all([...this.pending]);
  }

  private strike(victim: ConsumerProcess): void {
    let name: string | undefined;
    // One of each first, also in a short run.
    const { kills, pauses } = this.counts;
    if (kills === 0 || (pauses > 0 && this.rng.chance(0.5))) {
      this.counts.kills++;
      this.world.context.say(`SIGKILL of ${victim.process.label}`);
      if (this.rng.chance(0.5)) ({ name } = victim); // as the same pod, started again
      this.note(this.world.kill(victim));
    } else {
      const ms = this.rng.int(TTL_MS, (this.world.context.short ? 2 : 3) * TTL_MS);
      this.counts.pauses++;
      this.world.context.say(`SIGSTOP of ${victim.process.label} for ${ms} ms`);
      this.note(this.pause(victim, ms));
    }
    if (this.world.running().length + this.starting >= this.size) return;
    if (name !== undefined) this.counts.sameName++;
    this.starting++;
    this.note(this.world.consume({ name, tuning: tuningOf(this.rng) }).finally(() => this.starting--));
  }

  private async pause(victim: ConsumerProcess, ms: number): Promise<void> {
    const { sessions } = victim;
    victim.pause();
    await sleep(ms); // the fault itself
    await probe(this.world, sessions, this.zombies);
    victim.continue();
  }

  private note(work: Promise<unknown>): void {
    const noted = work.catch((error: unknown) => void this.failures.push(String(error))).finally(() => this.pending.delete(noted));
    this.pending.add(noted);
  }
}

function tuningOf(rng: Rng): { prefetch: number; concurrency: number; ack: 'auto' | 'manual' } {
  return { prefetch: PREFETCH, concurrency: 12, ack: rng.chance(0.5) ? 'auto' : 'manual' };
}

export const queueKills: Scenario = {
  name: 'queue-kills',
  about: 'eight consumers (short: four); every 300 ms a random one is SIGKILLed or SIGSTOPped, and replaced: nothing lost, repetition bounded, nothing settled by the dead',
  takesSeconds: 80,
  run: (context) => QueueWorld.with(context, { shards: context.topology === 'cluster' ? 3 : 2, ttlMs: TTL_MS, tuning: { prefetch: PREFETCH } }, async (world) => {
    const { rng, short } = context;
    const seconds = context.seconds ?? (short ? 3 : 60);
    const size = short ? 4 : 8;
    const load = { perSecond: PER_SECOND / PRODUCERS, total: Math.round((PER_SECOND / PRODUCERS) * seconds), maxWorkMs: 20 };
    await Promise.all(Array.from({ length: size }, () => world.consume({ tuning: tuningOf(rng) })));
    await Promise.all(Array.from({ length: PRODUCERS }, () => world.produce(load)));
    const faults = new Faults(world, rng.fork(), size);
    await faults.go(seconds * 1_000);
    await Promise.all(world.producers.map((producer) => producer.ask({ type: 'hold' }, 'held')));
    const drainedMs = await world.handled(QUIET_MS);
    await world.until('nothing is pending', async () => (await world.pending()) === 0, QUIET_MS, 50).catch(() => undefined);
    const pending = await world.pending();
    const breaches = await world.stopConsumers();
    const kept = await world.readQueue();
    // A message whose process was killed under it again and again is taken for the cause: that is a promise too, and no loss.
    const letters = await world.readDead();
    const { counts, breaches: broken } = world.judge();
    breaches.push(...broken);
    await Promise.all(world.producers.map((producer) => producer.stop())).catch((error: unknown) => breaches.push(String(error)));
    if (counts['resolved'] !== load.total * PRODUCERS) breaches.push(`${counts['resolved']} of ${load.total * PRODUCERS} sends resolved`);
    if (pending > 0) breaches.push(`${pending} messages are pending when all is handled`);
    if (kept > 0) breaches.push(`${kept} messages are kept in the queue when all is handled`);
    const others = letters.filter((reason) => reason !== 'crashed');
    if (others.length > 0) breaches.push(`${others.length} messages were given up for no reason of theirs: ${others.slice(0, 3).join(', ')}`);
    const { tried, accepted } = faults.zombies;
    if (accepted.length > 0) breaches.push(`what was sent in the name of a dead session was accepted ${accepted.length} times: ${accepted.slice(0, 3).join('; ')}`);
    breaches.push(...neverHappened({ kills: faults.counts.kills, pauses: faults.counts.pauses, zombieSettles: tried }));
    if (faults.failures.length > 0) breaches.push(`faults or starts failed: ${faults.failures.slice(0, 3).join('; ')}`);
    breaches.push(...world.leftovers());
    return {
      verdict: { ...counts, ...faults.counts, runs: world.account.runCount, acks: world.account.acks, pending, kept, parked: letters.length, zombieSettles: tried, zombieAccepted: accepted.length, drainedMs, troubles: world.troubles().length },
      breaches,
    };
  }),
};
