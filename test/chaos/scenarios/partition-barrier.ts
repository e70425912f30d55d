import { setTimeout as sleep } from 'node:timers/promises';
import { summarize } from '../../support/percentile.js';
import { convergence, overlapsOf } from '../partition/convergence.js';
import { GroupMonitor } from '../partition/group-monitor.js';
import { judge } from '../partition/judge.js';
import { PartitionLoad } from '../partition/load.js';
import { PartitionWorld } from '../partition/world.js';
import { type Scenario, within } from '../scenario.js';

const TTL_MS = 2_000;
const WITHIN_MS = 2 * (TTL_MS / 3) + 1_000;
const PARTITIONS = 64;
const PREFETCH = 32;

/** Some members join, leave and die at about the same time. */
class Burst {
  lastAt = 0;
  lastKillAt = -Infinity;

  constructor(private readonly world: PartitionWorld, private readonly allowedMs: number, private readonly size: number, private readonly diedAt: Map<string, number>, private readonly counts: Record<'joins' | 'leaves' | 'kills', number>) {}

  async go(changes: number): Promise<void> {
    const { rng } = this.world.context;
    const parts: Promise<void>[] = [];
    let members = this.world.members.length;
    for (let i = 0; i < changes; i++) {
      const kind = members <= this.size * 0.8 ? 'join' : members >= this.size * 1.2 ? rng.pick(['leave', 'kill']) : rng.pick(['join', 'join', 'leave', 'kill']);
      members += kind === 'join' ? 1 : -1;
      parts.push(this.change(kind));
      await sleep(rng.int(0, 60));
    }
    await Promise.all(parts);
  }

  private async change(kind: string): Promise<void> {
    const { world } = this;
    if (kind === 'join') {
      this.counts.joins++;
      const member = await world.spawn();
      this.changed(member.all('ready').at(-1)!.at);
      return;
    }
    const victim = world.context.rng.pick(world.running());
    if (kind === 'kill') {
      this.counts.kills++;
      await world.kill(victim);
      this.diedAt.set(victim.process.label, world.now());
      this.lastKillAt = world.now();
    } else {
      this.counts.leaves++;
      await world.stop(victim);
      this.changed(victim.all('left').at(-1)?.at ?? world.now());
    }
  }

  /** By when it must have converged. */
  get deadline(): number {
    return Math.max(this.lastAt, this.lastKillAt + TTL_MS) + this.allowedMs;
  }

  private changed(at: number): void {
    this.lastAt = Math.max(this.lastAt, at);
  }
}

export const partitionBarrier: Scenario = {
  name: 'partition-barrier',
  about: '30 members, 200 joins, leaves and kills: never two owners, no plan of an old generation, converged within 2 heartbeats + 1 s',
  takesSeconds: 150,
  run: (context) => PartitionWorld.with(context, { partitions: PARTITIONS, ttlMs: TTL_MS, tuning: { prefetch: PREFETCH } }, async (world) => {
    const { rng } = context;
    const [size, changes] = context.short ? [8, 12] : [30, 200];
    const allowedMs = Math.round(within(context, WITHIN_MS));
    const monitor = await GroupMonitor.watch(world);
    const until = performance.now() + (context.seconds ?? Infinity) * 1_000;
    const breaches: string[] = [];
    const late: number[] = [];
    const counts = { joins: 0, leaves: 0, kills: 0 };
    const diedAt = new Map<string, number>();
    try {
      await world.spawnMany(size);
      const converged = convergence(world);
      if ((await converged.until(world.now() + 20_000)) === undefined) throw new Error(`the first members did not settle: ${converged.missing()}`);
      const load = new PartitionLoad(world, { perSecond: 200, keys: 500, maxWorkMs: 5, rng: rng.fork() });
      for (let done = 0; done < changes && performance.now() < until; ) {
        const some = Math.min(changes - done, rng.int(1, 6));
        done += some;
        const burst = new Burst(world, allowedMs, size, diedAt, counts);
        await burst.go(some);
        const { deadline } = burst;
        const at = await converged.until(deadline + 10_000);
        late.push((at ?? Infinity) - (deadline - allowedMs));
        context.say(`${done} changes, ${world.members.length} members: converged ${at === undefined ? 'never' : `${(at - burst.lastAt).toFixed(0)} ms after the last join or leave`}${burst.lastKillAt > 0 ? ', with a kill' : ''}`);
        if (at === undefined) breaches.push(`not converged after ${done} changes: ${converged.missing()}`);
        else if (at > deadline) breaches.push(`converged ${Math.round(at - deadline + allowedMs)} ms after the last change (kills: + ttl); allowed ${allowedMs}`);
      }
      await load.stop();
      await world.settled(load.count, 8_000);
      breaches.push(...(await world.leftovers(5_000)));
      const entries = await world.ledger.entries();
      const { counts: judged, breaches: broken } = judge(entries, load.sent, PREFETCH);
      const overlaps = overlapsOf(entries, diedAt);
      if (overlaps.length > 0) breaches.push(`${overlaps.length} times a partition had two live owners: ${overlaps.slice(0, 3).join('; ')}`);
      if (monitor.breaches.length > 0) breaches.push(`${monitor.breaches.length} forbidden writes: ${monitor.breaches.slice(0, 3).join('; ')}`);
      if (monitor.plans === 0 || monitor.grants === 0) breaches.push('the monitor saw nothing');
      if (load.failures.length > 0) breaches.push(`${load.failures.length} sends failed: ${load.failures[0]}`);
      breaches.push(...broken);
      const { median, p99, max } = summarize(late.map((ms) => Math.max(0, ms)));
      const sizes = (await world.client.assignment(world.ref)).members.map(({ owned }) => owned.length);
      return {
        verdict: {
          ...counts, members: sizes.length, overlaps: overlaps.length, forbiddenWrites: monitor.breaches.length, plans: monitor.plans, generations: monitor.generations, grants: monitor.grants,
          convergedP50Ms: Math.round(median), convergedP99Ms: Math.round(p99), convergedMaxMs: Math.round(max), convergedAllowedMs: allowedMs, fewest: Math.min(...sizes), most: Math.max(...sizes),
          ...Object.fromEntries(Object.entries(judged).map(([name, value]) => [`load.${name}`, value])),
        },
        breaches,
      };
    } finally {
      monitor.stop();
    }
  }),
};
