import { setTimeout as sleep } from 'node:timers/promises';
import type { Rng } from '../../support/seed.js';
import type { ServerProcess } from './workers.js';
import type { TransportWorld } from './world.js';

export interface FaultOptions {
  /** Kills and pauses of servers, together. */
  readonly strikes: number;
  readonly everyMs: number;
  /** Servers of each service. */
  readonly size: number;
  /** At every such strike a client is killed as well. */
  readonly clientEvery: number;
}

/** So many of all servers are left alone, so that requests are answered. */
const FEWEST = 2;

/** Kills and pauses servers, kills clients, and keeps so many at work. */
export class Faults {
  readonly counts = { kills: 0, pauses: 0, clientKills: 0, sameName: 0, noVictim: 0 };
  readonly failures: string[] = [];
  private readonly pending = new Set<Promise<unknown>>();
  private readonly starting = new Map<string, number>();

  constructor(private readonly world: TransportWorld, private readonly rng: Rng, private readonly options: FaultOptions) {}

  async go(): Promise<void> {
    const { strikes, everyMs, clientEvery } = this.options;
    for (let struck = 0; struck < strikes && this.failures.length === 0; ) {
      await sleep(everyMs);
      const victims = this.world.running();
      if (victims.length <= FEWEST) {
        this.counts.noVictim++; // replacements are on their way
        continue;
      }
      // Half of them each, in an order that is drawn.
      const left = strikes - struck++;
      this.strike(this.rng.pick(victims), this.rng.chance((Math.ceil(strikes / 2) - this.counts.kills) / left));
      if (struck % clientEvery === 0) this.killClient();
    }
    while (this.pending.size > 0) await Promise.all([...this.pending]);
  }

  private strike(victim: ServerProcess, isKill: boolean): void {
    const { context, options: { ttlMs } } = this.world;
    const { process: { label }, config: { service } } = victim;
    if (!isKill) {
      const ms = this.rng.int(ttlMs, (context.short ? 2 : 3) * ttlMs);
      this.counts.pauses++;
      context.say(`SIGSTOP of ${label} for ${ms} ms`);
      return this.note(this.pause(victim, ms));
    }
    this.counts.kills++;
    context.say(`SIGKILL of ${label}`);
    const name = this.rng.chance(0.5) ? victim.name : undefined; // as the same pod, started again
    this.note(this.world.kill(victim));
    const starting = this.starting.get(service) ?? 0;
    if (this.world.servers.filter(({ config }) => config.service === service).length + starting >= this.options.size) return;
    if (name !== undefined) this.counts.sameName++;
    this.starting.set(service, starting + 1);
    this.note(this.world.serve(service, this.rng.chance(0.5) ? 'auto' : 'manual', name).finally(() => this.starting.set(service, this.starting.get(service)! - 1)));
  }

  private killClient(): void {
    const victim = this.rng.pick(this.world.clients);
    this.counts.clientKills++;
    this.world.context.say(`SIGKILL of ${victim.process.label}`);
    this.note(this.world.kill(victim).then(() => this.world.startClient()));
  }

  private async pause(victim: ServerProcess, ms: number): Promise<void> {
    victim.pause();
    await sleep(ms); // the fault itself
    victim.continue();
  }

  private note(work: Promise<unknown>): void {
    const noted = work.catch((error: unknown) => void this.failures.push(String(error))).finally(() => this.pending.delete(noted));
    this.pending.add(noted);
  }
}
