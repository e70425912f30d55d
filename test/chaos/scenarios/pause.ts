import { setTimeout as sleep } from 'node:timers/promises';
import { summarize } from '../../support/percentile.js';
import type { Consumer } from '../consumer.js';
import { breachesOf, judge } from '../judge.js';
import { Load } from '../load.js';
import { type Scenario, within } from '../scenario.js';
import { World, type Run } from '../world.js';

const TTL_MS = 600;
const HEARTBEAT_MS = TTL_MS / 3;

interface Tally { pauses: number; pastDeadline: number; revived: number; staleHeld: number; probed: number; accepted: string[]; rawTried: number; rawAccepted: string[]; abortMs: number[]; rejoinMs: number[] }

/**
 * One random pause of one worker. Five looks at what a stale owner can do:
 *
 *  - its handlers go on after SIGCONT, write to the fenced ledger and call `done()` (see LeaseWork);
 *  - checkpoints were on their way to the server when it was stopped;
 *  - told to (`probe`), it tries each operation on every lease it lost;
 *  - a heartbeat arrives in its name after its deadline;
 *  - while it is paused and its streams run elsewhere, the runner sends the settle script itself in its name:
 *    a zombie that lacks every local fence, which only the server's token check can refuse.
 */
async function pauseOnce(world: World, worker: Consumer, tally: Tally): Promise<void> {
  const { rng } = world.context;
  const forMs = rng.int(0.3 * TTL_MS, 3 * TTL_MS);
  world.sync();
  const done = new Set(world.reports.flatMap(({ report }) => (report.type === 'settled' ? [report.stream] : [])));
  const held = [...world.latest.values()].filter(({ by, stream }) => by === worker.name && !done.has(stream));
  const { session } = worker;
  worker.pause();
  tally.pauses++;
  await sleep(forMs); // the fault itself
  const dead = await isDead(world, session);
  // Sent in the dead's name, before or after the reaper has been there: what is dead stays dead.
  if (dead && (await world.rawHeartbeat(session)) === 'LIVE') tally.revived++;
  const stale = await staleOf(world, held);
  for (const { stream, token } of stale) {
    tally.rawTried++;
    const operation = rng.pick(['done', 'checkpoint', 'release', 'dead']);
    const status = await world.rawSettle(session, stream, token, operation);
    if (status === 'OK') tally.rawAccepted.push(`${operation} of ${stream} token ${token}`);
  }
  const at = world.now();
  worker.continue();
  if (!dead) return; // not past the deadline when we looked: nothing to expect
  tally.pastDeadline++;
  tally.staleHeld += stale.length;
  const probe = await worker.ask({ type: 'probe', id: tally.pauses }, 'probed', 15_000);
  tally.probed += probe.tried;
  tally.accepted.push(...probe.accepted);
  await world.until(`${worker.name} rejoined`, () => worker.session !== session, 15_000);
  world.sync();
  for (const { by, report } of world.reports) {
    if (by !== worker.name) continue;
    if (report.type === 'aborted' && report.at >= at && ['session-lost', 'fenced'].includes(report.reason)) tally.abortMs.push(report.at - at);
    if (report.type === 'joined' && report.session === worker.session) tally.rejoinMs.push(report.at - at);
  }
  await world.until(`${worker.name} works again as ${worker.session}`, () => world.runs.some(({ owner }) => owner === worker.session), 15_000);
}

/** Dead on the server's clock, with a margin for what the clocks differ by. */
async function isDead(world: World, session: string): Promise<boolean> {
  const deadline = await world.deadlineOf(session);
  return deadline === undefined || deadline < world.now() - 5;
}

/** Those of its streams that the server has granted to another since. */
async function staleOf(world: World, held: readonly Run[]): Promise<Run[]> {
  const stale: Run[] = [];
  for (const run of held) {
    const record = await world.cli('HGET', world.key('leases'), run.stream);
    if (typeof record === 'string' && Number(record.split(' ')[1]) > run.token) stale.push(run);
  }
  return stale;
}

export const pause: Scenario = {
  name: 'pause',
  about: 'random SIGSTOPs of owners, 0.3 to 3 times the ttl: no stale settle is accepted, signals fire, they rejoin',
  takesSeconds: 230,
  run: (context) => World.with(context, { ttlMs: TTL_MS, worker: { checkpointEveryMs: 40 } }, async (world) => {
    const target = context.short ? 12 : 500;
    const until = context.seconds === undefined ? Infinity : performance.now() + context.seconds * 1_000;
    const tally: Tally = { pauses: 0, pastDeadline: 0, revived: 0, staleHeld: 0, probed: 0, accepted: [], rawTried: 0, rawAccepted: [], abortMs: [], rejoinMs: [] };
    await world.spawn(8);
    const load = new Load(world, { perSecond: 40, rng: context.rng.fork(), work: (rng) => ({ workMs: rng.int(100, 1_500), stubborn: rng.chance(0.5) }) });
    let started = 0;
    const pauser = async (): Promise<void> => {
      while (started++ < target && performance.now() < until) {
        const worker = context.rng.pick(world.running());
        worker.state = 'paused';
        await sleep(context.rng.int(50, 400)); // let it take work on
        await pauseOnce(world, worker, tally);
        context.say(`SIGSTOP ${tally.pauses}: ${worker.name}, in total ${tally.pastDeadline} past the deadline, ${tally.staleHeld} stale leases, ${tally.rawTried + tally.probed} stale settles tried`);
      }
    };
    // Three at a time of eight: five are always there to take over.
    await Promise.all([pauser(), pauser(), pauser()]);
    await load.stop();
    await world.drained();
    await world.until('the ledger has heard of every completion', () => judge(world.ledger.events).lost === 0).catch(() => undefined);
    const judgement = judge(world.ledger.events);
    const slowestAbort = Math.max(0, ...tally.abortMs);
    const abortAllowedMs = within(context, HEARTBEAT_MS);
    const breaches = breachesOf(judgement);
    const unhandled = world.reported('unhandled');
    if (tally.accepted.length > 0) breaches.push(`settles of lost leases were accepted: ${tally.accepted.slice(0, 5).join('; ')}`);
    if (tally.rawAccepted.length > 0) breaches.push(`the server accepted ${tally.rawAccepted.length} stale settles: ${tally.rawAccepted.slice(0, 5).join('; ')}`);
    if (tally.revived > 0) breaches.push(`${tally.revived} dead sessions were revived by a late heartbeat`);
    if (slowestAbort > abortAllowedMs) breaches.push(`a signal fired ${slowestAbort.toFixed(0)} ms after SIGCONT (allowed ${abortAllowedMs}; a heartbeat is ${HEARTBEAT_MS})`);
    if (tally.pastDeadline > 0 && tally.rawTried === 0) breaches.push('no stale settle was ever tried: the scenario showed nothing');
    if (unhandled.length > 0) breaches.push(`${unhandled.length} unhandled rejections: ${unhandled[0]?.message}`);
    return {
      verdict: {
        ...judgement, pauses: tally.pauses, pastDeadline: tally.pastDeadline, revived: tally.revived, staleLeases: tally.staleHeld,
        staleSettlesTried: tally.rawTried + tally.probed, staleAcceptedRaw: tally.rawAccepted.length, staleAcceptedProbe: tally.accepted.length,
        abortMsP99: tally.abortMs.length > 0 ? summarize(tally.abortMs).p99 : null, abortMsMax: slowestAbort, abortAllowedMs,
        rejoinMsMax: Math.max(0, ...tally.rejoinMs), announceFailures: load.failures.length,
      },
      breaches,
    };
  }),
};
