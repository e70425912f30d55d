import { setTimeout as sleep } from 'node:timers/promises';
import type { Rng } from '../../support/seed.js';
import type { RoomMember } from './member.js';
import type { Place } from './messages.js';
import type { FanoutWorld } from './world.js';

/** One that woke up and is replaced stays so long. */
const ENCORE_MS = 1_000;

/** Kills and pauses a random member again and again, and sees to it that its rooms have another. */
export class RoomFaults {
  readonly counts = { kills: 0, pauses: 0, sameName: 0, retired: 0, noVictim: 0 };
  readonly failures: string[] = [];
  private readonly pending = new Set<Promise<unknown>>();
  private readonly starting = new Set<readonly Place[]>();

  constructor(private readonly world: FanoutWorld, private readonly rng: Rng, private readonly everyMs: number) {}

  /** Until `over`. */
  async go(over: () => boolean): Promise<void> {
    while (!over()) {
      await sleep(this.everyMs);
      const victims = this.world.running();
      if (victims.length < 3) this.counts.noVictim++; // replacements are on their way
      else if (!over()) this.strike(this.rng.pick(victims));
    }
    while (this.pending.size > 0) await Promise.all([...this.pending]);
  }

  private strike(victim: RoomMember): void {
    if (this.rng.chance(0.5)) {
      const sameName = this.rng.chance(0.5); // as the same pod, started again
      this.counts.kills++;
      if (sameName) this.counts.sameName++;
      this.world.context.say(`SIGKILL of ${victim.label}`);
      this.note(this.kill(victim, sameName ? victim.name : undefined));
    } else {
      const { context: { short }, options: { ttlMs } } = this.world;
      const ms = this.rng.int(ttlMs, (short ? 1.5 : 3) * ttlMs);
      this.counts.pauses++;
      this.world.context.say(`SIGSTOP of ${victim.label} for ${ms} ms`);
      this.note(this.pause(victim, ms));
    }
  }

  private async kill(victim: RoomMember, name: string | undefined): Promise<void> {
    await this.world.kill(victim);
    if (name !== undefined) this.world.renamed(name);
    if (!this.hasOther(victim)) await this.spawn(victim.places, name);
  }

  private async pause(victim: RoomMember, ms: number): Promise<void> {
    const replaced = this.rng.chance(0.5) && !this.hasOther(victim);
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
    this.starting.add(places);
    await this.world.spawn(places, { name }).finally(() => this.starting.delete(places));
  }

  private note(work: Promise<unknown>): void {
    const noted = work.catch((error: unknown) => void this.failures.push(String(error))).finally(() => this.pending.delete(noted));
    this.pending.add(noted);
  }
}
