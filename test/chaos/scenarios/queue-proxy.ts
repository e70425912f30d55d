import { setTimeout as sleep } from 'node:timers/promises';
import type { Faults } from '../../support/tcp-proxy.js';
import { Links } from '../fanout/links.js';
import { QueueWorld } from '../queue/world.js';
import { neverHappened, type Scenario, within } from '../scenario.js';

/** Long beside what a broken connection costs, so that most sessions outlive the faults. */
const TTL_MS = 4_000;
const COMMAND_TIMEOUT_MS = 500;
const PRODUCERS = 2;
const CONSUMERS = 3;
const PER_SECOND = 840;
const PREFETCH = 64;
const RESUME_MS = 5_000;
const QUIET_MS = TTL_MS + 6_000;
/** Of all that was offered, and of what the load should offer while the faults go on: they delay sends, and hardly ever outlast `sendTimeoutMs`. */
const RESOLVED_SHARE = 0.95;
/** In the long form. */
const RESOLVED = 50_000;

type Kind = 'lifetimes' | 'afterWrite' | 'slices' | 'blackhole' | 'halfOpen';
const LIFETIME: Faults = { lifetimeMs: [500, 1_500] };
const FAULTS: Record<Kind, Faults> = {
  lifetimes: LIFETIME,
  afterWrite: { ...LIFETIME, cutAfterWriteChance: 0.05 },
  slices: { ...LIFETIME, sliceBytes: 1 },
  blackhole: LIFETIME,
  halfOpen: { ...LIFETIME, halfOpenChance: 0.5 },
};

/** Never leaves a connection alone for long; what else is wrong with it changes. */
class Breaks {
  readonly rounds: Record<Kind, number> = { lifetimes: 0, afterWrite: 0, slices: 0, blackhole: 0, halfOpen: 0 };

  constructor(private readonly world: QueueWorld, private readonly links: readonly Links[]) {}

  async go(forMs: number): Promise<void> {
    const until = performance.now() + forMs;
    const kinds = Object.keys(FAULTS) as Kind[];
    await Promise.all(this.links.map(async (link, i) => {
      const rng = this.world.context.rng.fork();
      // Each begins with another kind, so that a short run has all of them.
      for (let order = [...rng.shuffle(kinds), kinds[i % kinds.length]!]; performance.now() < until; order = order.length > 0 ? order : rng.shuffle(kinds)) {
        const kind = order.pop()!;
        this.rounds[kind]++;
        link.setFaults(FAULTS[kind]);
        const ms = Math.min(until - performance.now(), kind === 'blackhole' ? rng.int(100, 1_000) : rng.int(700, 2_000)); // each change begins their lives anew
        if (kind === 'blackhole') link.blackhole(true);
        await sleep(Math.max(0, ms));
        if (kind === 'blackhole') link.blackhole(false);
        if (kind === 'halfOpen') link.halfOpen();
      }
      link.setFaults({});
    }));
  }

  tally(): Record<string, number> {
    const all = this.links.flatMap(({ stats }) => stats);
    const sum = (of: (stats: (typeof all)[number]) => number): number => all.reduce((total, stats) => total + of(stats), 0);
    return { endedByLifetime: sum(({ cuts }) => cuts.lifetime), cutAfterWrite: sum(({ cuts }) => cuts.afterWrite), slices: sum(({ slices }) => slices), swallowedBytes: sum(({ swallowedBytes }) => swallowedBytes), halfOpened: sum(({ halfOpened }) => halfOpened) };
  }
}

export const queueProxy: Scenario = {
  name: 'queue-proxy',
  about: 'producers and consumers whose connections live a second, are cut after a write, black-holed, half-open, or pass single bytes: nothing lost, nothing stored twice',
  takesSeconds: 75,
  run: (context) => QueueWorld.with(context, { shards: context.topology === 'cluster' ? 3 : 2, ttlMs: TTL_MS, tuning: { prefetch: PREFETCH, concurrency: 16 } }, async (world) => {
    const { rng, short, say } = context;
    const seconds = context.seconds ?? (short ? 4 : 60);
    const links = await Promise.all(Array.from({ length: PRODUCERS + CONSUMERS }, (_, i) => Links.start(world.topology, context.seed + 10 * i)));
    world.onEnd(() => Promise.all(links.map((link) => link.stop())));
    const behind = (i: number): { connection: Links['connection']; commandTimeoutMs: number } => ({ connection: links[i]!.connection, commandTimeoutMs: COMMAND_TIMEOUT_MS });
    await Promise.all(Array.from({ length: CONSUMERS }, (_, i) => world.consume({ ...behind(PRODUCERS + i), tuning: { ack: rng.chance(0.5) ? 'auto' : 'manual' } })));
    await Promise.all(Array.from({ length: PRODUCERS }, (_, i) => world.produce({ ...behind(i), perSecond: PER_SECOND / PRODUCERS, maxWorkMs: 5 })));
    const breaks = new Breaks(world, links);
    await breaks.go(seconds * 1_000);
    const allowedMs = within(context, RESUME_MS);
    const back = await world.resumed(allowedMs + 5_000);
    say(`all at work again after ${back.ms} ms${back.missing.length > 0 ? `, but for ${back.missing.join(', ')}` : ''}`);
    await Promise.all(world.producers.map((producer) => producer.ask({ type: 'hold' }, 'held')));
    const offered = (await Promise.all(world.producers.map((producer) => producer.ask({ type: 'status' }, 'status')))).reduce((sum, { called }) => sum + called, 0);
    const drainedMs = await world.handled(QUIET_MS);
    await world.until('nothing is pending', async () => (await world.pending()) === 0, QUIET_MS, 50).catch(() => undefined);
    const pending = await world.pending();
    const breaches = await world.stopConsumers();
    const kept = await world.readQueue();
    const { counts, breaches: broken } = world.judge();
    breaches.push(...broken);
    await Promise.all(world.producers.map((producer) => producer.stop())).catch((error: unknown) => breaches.push(String(error)));
    if (back.ms > allowedMs) breaches.push(`resumed ${back.ms} ms after the faults (allowed ${allowedMs}); not back: ${back.missing.join(', ') || 'nobody'}`);
    const expected = Math.round(Math.max(RESOLVED_SHARE * offered, short || context.seconds !== undefined ? RESOLVED_SHARE * seconds * PER_SECOND : RESOLVED));
    if (counts['resolved']! < expected) breaches.push(`only ${counts['resolved']} of ${offered} sends resolved, at least ${expected} should have`);
    if (pending > 0) breaches.push(`${pending} messages are pending when all is handled`);
    if (kept > 0) breaches.push(`${kept} messages are kept in the queue when all is handled`);
    const tally = breaks.tally();
    breaches.push(...neverHappened(tally));
    breaches.push(...world.leftovers());
    return { verdict: { offered, ...counts, resolvedExpected: expected, rejections: world.account.rejections, rounds: breaks.rounds, ...tally, resumeMs: back.ms, resumeAllowedMs: allowedMs, drainedMs, pending, kept, troubles: world.troubles().length }, breaches };
  }),
};
