import { setTimeout as sleep } from 'node:timers/promises';
import { FAULTS, type Fault } from '../faults.js';
import { breachesOf, judge, tokensGoneBack } from '../judge.js';
import { Load } from '../load.js';
import { startProxies, type Proxies } from '../proxies.js';
import { type Scenario, within } from '../scenario.js';
import { World } from '../world.js';

const TTL_MS = 1_000;
const RESUME_MS = 5_000;
const RETRIES_PER_SECOND = 5;
/** Announced again and again, so that a stream has many owners and follow-ups over the faults. */
const EVERGREENS = 10;

interface State {
  /** When each announcement was begun; what was begun before a wipe ended may be gone with it. */
  readonly begun: Map<string, number>;
  wipedAt: number;
  readonly resumeMs: Record<string, number>;
  readonly breaches: string[];
}

/** Every consumer runs a stream that was announced after the fault was over. Entry ids carry the server's time. */
async function resume(world: World, state: State, name: string): Promise<void> {
  const over = world.now();
  const allowedMs = within(world.context, RESUME_MS);
  const back = new Set<string>();
  let seen = world.runs.length;
  await world.until(`all consumers work after: ${name}`, () => {
    for (; seen < world.runs.length; seen++) {
      const run = world.runs[seen];
      if (run && Number(run.entryId.split('-')[0]) >= over) back.add(run.by);
    }
    return world.running().every((consumer) => back.has(consumer.name));
  }, allowedMs + 5_000).catch(() => undefined);
  const ms = world.now() - over;
  state.resumeMs[name] = Math.max(state.resumeMs[name] ?? 0, Math.round(ms));
  if (ms > allowedMs) state.breaches.push(`after "${name}" consumers resumed in ${ms.toFixed(0)} ms (allowed ${allowedMs}); back: ${[...back].join(' ') || 'none'}`);
  world.context.say(`${name}: all consumers at work again ${ms.toFixed(0)} ms after it`);
}

/** What was begun so long ago and should be done. Asked before a wipe hides it, and at the end. */
function overdue(world: World, state: State, agoMs: number): string[] {
  const completed = new Set(world.ledger.events.flatMap(({ kind, id, accepted, resource }) => (kind === 'effect' && accepted && id === undefined ? [resource] : [])));
  const before = performance.now() - agoMs;
  return world.ledger.events.flatMap(({ kind, resource }) => {
    const begun = state.begun.get(resource) ?? 0;
    return kind === 'sent' && begun > state.wipedAt && begun < before && !completed.has(resource) ? [resource] : [];
  });
}

async function strike(world: World, proxies: Proxies, state: State, fault: Fault): Promise<void> {
  if (fault.wipes) {
    const late = overdue(world, state, within(world.context, RESUME_MS) + 2_000);
    if (late.length > 0) state.breaches.push(`${late.length} announced streams were overdue before "${fault.name}": ${late.slice(0, 3).join(' ')}`);
  }
  await fault.apply(world, proxies, world.context.rng);
  if (fault.wipes) state.wipedAt = performance.now();
  await resume(world, state, fault.name);
}

/** A while in which connections end at random: cut, half-open, or cut after a request was carried out. */
async function storm(world: World, proxies: Proxies, state: State, ms: number): Promise<number> {
  const before = judge(world.ledger.events).acks;
  proxies.setFaults({ lifetimeMs: [300, 4_000], halfOpenChance: 0.25, cutAfterWriteChance: 0.01 });
  await sleep(ms);
  proxies.setFaults({});
  const done = judge(world.ledger.events).acks - before;
  world.context.say(`${ms} ms of random cuts: ${JSON.stringify(proxies.cuts())}, ${done} streams completed meanwhile`);
  await resume(world, state, 'random cuts');
  return done;
}

/** The most retries any consumer reported within any one second. */
function worstRetryRate(world: World): { rate: number; sample: string } {
  world.sync();
  const times = new Map<string, Array<{ at: number; message: string }>>();
  for (const { by, report } of world.reports) {
    if (report.type === 'trouble') times.set(by, [...(times.get(by) ?? []), report]);
  }
  let worst = { rate: 0, sample: '' };
  for (const list of times.values()) {
    list.forEach(({ at }, i) => {
      const soon = list.slice(i).filter((other) => other.at < at + 1_000);
      if (soon.length > worst.rate) worst = { rate: soon.length, sample: soon.map((other) => `+${(other.at - at).toFixed(0)} ${other.message.slice(0, 60)}`).join('; ') };
    });
  }
  return worst;
}

export const serverFaults: Scenario = {
  name: 'server-faults',
  about: 'restarts, FLUSHALL, lost groups, connections cut or half-open under load: resumed in 5 s, nothing lost, no hot loop',
  takesSeconds: 90,
  run: (context) => World.with(context, { ttlMs: TTL_MS }, async (world) => {
    const proxies = await startProxies(world);
    const { short, seconds } = context;
    const state: State = { begun: new Map(), wipedAt: 0, resumeMs: {}, breaches: [] };
    await world.spawn(4, { connection: proxies.connection });
    const announcer = world.announcer(proxies.connection);
    const work = { workMs: 60 };
    const loads = [
      new Load(world, { perSecond: 40, rng: context.rng.fork(), work: () => work, announce: (stream, todo) => {
        state.begun.set(stream, performance.now());
        return world.announce(stream, todo);
      } }),
      // Through the faults, and without de-duplication: a batch sent twice would be announced twice.
      new Load(world, { perSecond: 20, rng: context.rng.fork(), prefix: 'p', work: () => work, announce: async (stream, todo) => {
        state.begun.set(stream, performance.now());
        await announcer.leases().announce(world.service, stream, { ...todo }, { dedupe: 'off' });
        world.ledger.record('sent', { resource: stream });
      } }),
      new Load(world, { perSecond: 10, rng: context.rng.fork(), prefix: 'e', work: () => work, announce: (stream, todo) =>
        announcer.leases().announce(world.service, `evergreen-${Number(stream.slice(2)) % EVERGREENS}`, { ...todo }) }),
    ];
    await resume(world, state, 'start');
    const rounds = short ? 1 : 4;
    const until = seconds === undefined ? Infinity : performance.now() + seconds * 1_000;
    let completedInStorms = 0;
    for (let i = 0; i < rounds && performance.now() < until; i++) {
      for (const fault of short ? FAULTS : context.rng.shuffle(FAULTS)) await strike(world, proxies, state, fault);
      completedInStorms += await storm(world, proxies, state, short ? 3_000 : 10_000);
    }
    await Promise.all(loads.map((load) => load.stop()));
    await world.drained(30_000).catch((error: unknown) => state.breaches.push(String(error)));
    // Nothing is announced any more, and nothing is left on the server: whatever was begun must be done.
    await world.until('the ledger heard of all', () => overdue(world, state, 0).length === 0, RESUME_MS + 3_000).catch(() => undefined);

    const { breaches } = state;
    const late = overdue(world, state, 0);
    const judgement = judge(world.ledger.events.filter(({ resource }) => !resource.startsWith('evergreen')));
    breaches.push(...breachesOf({ ...judgement, lost: late.length }));
    const back = tokensGoneBack(world.ledger.events);
    if (back.length > 0) breaches.push(`tokens went back: ${back.slice(0, 3).join('; ')}`);
    const twice = announcedTwice(world);
    if (twice.length > 0) breaches.push(`${twice.length} announcements were added twice: ${twice.slice(0, 3).join('; ')}`);
    const { rate, sample } = worstRetryRate(world);
    if (rate > RETRIES_PER_SECOND) breaches.push(`a consumer retried ${rate} times within a second (allowed ${RETRIES_PER_SECOND}): ${sample}`);
    const unhandled = world.reported('unhandled');
    if (unhandled.length > 0) breaches.push(`${unhandled.length} unhandled rejections: ${unhandled[0]?.message}`);
    const ended = world.consumers.filter(({ process }) => !process.running);
    if (ended.length > 0) breaches.push(`${ended.map(({ name }) => name).join(' ')} ended: ${ended[0]?.process.output().slice(-500)}`);
    return {
      verdict: {
        ...judgement, lostWithTheServer: judgement.lost - late.length, lost: late.length, completedInStorms, retriesPerSecondMax: rate, tokensGoneBack: back.length,
        announcedTwice: twice.length, ...proxies.cuts(), resumeMs: state.resumeMs, resumeAllowedMs: within(context, RESUME_MS), announceFailures: loads.map(({ failures }) => failures.length),
      },
      breaches,
    };
  }),
};

/** Streams announced once, under names of their own, that ran under two announcements. */
function announcedTwice(world: World): string[] {
  const entries = new Map<string, Set<string>>();
  for (const { stream, entryId } of world.runs) {
    if (!stream.startsWith('evergreen')) entries.set(stream, (entries.get(stream) ?? new Set()).add(entryId));
  }
  return [...entries].filter(([, ids]) => ids.size > 1).map(([stream, ids]) => `${stream}: ${[...ids].join(' ')}`);
}
