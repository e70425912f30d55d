import { setTimeout as sleep } from 'node:timers/promises';
import type { Rng } from '../../support/seed.js';
import { neverHappened } from '../scenario.js';
import type { RoomMember } from './member.js';
import type { Place } from './messages.js';
import type { FanoutWorld } from './world.js';

/** One that woke up and is replaced stays so long. */
const ENCORE_MS = 1_000;

/** So many must be running for one to be killed: else there would be nobody to go on. */
const KEPT = 2;
/** And so many for one to be paused: the next kill shall find a victim. */
const SPARED = 4;
const LOOK_MS = 20;
/** Of all kills due so many must have come, and of all so many may have had to wait for a victim. */
const ON_TIME = 0.9;

/** Kills a random member at a fixed pace, pauses others at a pace of its own, and sees to it that their rooms have another. */
export class RoomFaults {
  readonly counts = { kills: 0, killsDue: 0, pauses: 0, pausesSkipped: 0, sameName: 0, retired: 0, noVictim: 0, longestStartMs: 0 };
  readonly failures: string[] = [];
  private readonly pending = new Set<Promise<unknown>>();
  private readonly starting = new Set<readonly Place[]>();

  constructor(private readonly world: FanoutWorld, private readonly rng: Rng, private readonly everyMs: number) {}

  /** Until `over`. */
  async go(over: () => boolean): Promise<void> {
    await Promise.all([this.killAll(over), this.pauseAll(over, this.rng.fork())]);
    while (this.pending.size > 0) await Promise.all([...this.pending]);
  }

  breaches(): string[] {
    const { kills, killsDue, pauses, noVictim } = this.counts;
    const breaches = neverHappened({ kills, pauses });
    if (kills < ON_TIME * killsDue) breaches.push(`${kills} kills of ${killsDue} that were due, one every ${this.everyMs} ms`);
    if (noVictim > Math.max(1, Math.ceil((1 - ON_TIME) * killsDue))) breaches.push(`${noVictim} kills of ${killsDue} had to wait for a victim`);
    if (this.failures.length > 0) breaches.push(`starts failed: ${this.failures.slice(0, 3).join('; ')}`);
    return breaches;
  }

  /** The pace is that of the first one: what had to wait is made up for. */
  private async killAll(over: () => boolean): Promise<void> {
    const startedAt = performance.now();
    for (let n = 1; ; n++) {
      await sleep(Math.max(0, startedAt + n * this.everyMs - performance.now()));
      if (over()) return;
      this.counts.killsDue++;
      if (this.world.running().length <= KEPT) this.counts.noVictim++; // replacements are on their way
      while (this.world.running().length <= KEPT) {
        if (over()) return;
        await sleep(LOOK_MS);
      }
      const victim = this.rng.pick(this.world.running());
      const sameName = this.rng.chance(0.5); // as the same pod, started again
      this.counts.kills++;
      if (sameName) this.counts.sameName++;
      this.world.context.say(`SIGKILL of ${victim.label}`);
      this.note(this.kill(victim, sameName ? victim.name : undefined));
    }
  }

  private async pauseAll(over: () => boolean, rng: Rng): Promise<void> {
    const { context: { short, say }, options: { ttlMs } } = this.world;
    for (;;) {
      await sleep(rng.int(this.everyMs, 2 * this.everyMs));
      if (over()) return;
      const victims = this.world.running();
      if (victims.length <= SPARED) {
        this.counts.pausesSkipped++;
        continue;
      }
      const victim = rng.pick(victims);
      const ms = rng.int(ttlMs, (short ? 1.5 : 3) * ttlMs);
      this.counts.pauses++;
      say(`SIGSTOP of ${victim.label} for ${ms} ms`);
      this.note(this.pause(victim, ms, rng));
    }
  }

  private async kill(victim: RoomMember, name: string | undefined): Promise<void> {
    await this.world.kill(victim);
    if (name !== undefined) this.world.renamed(name);
    if (!this.hasOther(victim)) await this.spawn(victim.places, name);
  }

  private async pause(victim: RoomMember, ms: number, rng: Rng): Promise<void> {
    const replaced = rng.chance(0.5) && !this.hasOther(victim);
    await this.world.pause(victim);
    await Promise.all([
      replaced && this.spawn(victim.places),
      sleep(ms).then(() => victim.continue()), // the fault itself
    ]);
    await sleep(ENCORE_MS);
    // With another in its place one of them goes, by its own will; unless the next fault has met it.
    if (victim.state !== 'running' || !victim.process.running || !this.hasOther(victim)) return;
    this.counts.retired++;
    await this.world.stop(victim);
  }

  /** Another that is, or will be, in the same rooms. */
  private hasOther(one: RoomMember): boolean {
    return this.starting.has(one.places) || this.world.members.some((member) => member !== one && member.places === one.places);
  }

  private async spawn(places: readonly Place[], name?: string): Promise<void> {
    const startedAt = performance.now();
    this.starting.add(places);
    await this.world.spawn(places, { name }).finally(() => this.starting.delete(places));
    this.counts.longestStartMs = Math.max(this.counts.longestStartMs, Math.round(performance.now() - startedAt));
  }

  private note(work: Promise<unknown>): void {
    const noted = work.catch((error: unknown) => void this.failures.push(String(error))).finally(() => this.pending.delete(noted));
    this.pending.add(noted);
  }
}
