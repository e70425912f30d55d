import { setTimeout as sleep } from 'node:timers/promises';
import { summarize } from '../../support/percentile.js';
import { judge } from '../partition/judge.js';
import { PartitionLoad } from '../partition/load.js';
import { type Move, pausesOf } from '../partition/pauses.js';
import { PartitionWorld } from '../partition/world.js';
import type { Outcome, Scenario, ScenarioContext } from '../scenario.js';

const TTL_MS = 10_000;
const WORKERS = 10;
const PARTITIONS = 64;
const PER_SECOND = 1_000;
const SHORT_PER_SECOND = 400;
const PREFETCH = 256;
/** On a machine with nothing else to do. */
const PAUSE_MS = 100;
/** What any machine must keep, for the short form: below the heartbeat that would mend a hint that was lost. */
const ANYWHERE_MS = 3_000;

const rounded = (ms: number): number => Math.round(ms * 10) / 10;
const spread = (name: string, values: readonly number[]): Record<string, number> => {
  if (values.length === 0) return {};
  const { median, p99, max } = summarize(values);
  return { [`${name}P50Ms`]: rounded(median), [`${name}P99Ms`]: rounded(p99), [`${name}MaxMs`]: rounded(max) };
};

const partsOf = ({ parts: [drain, grant, ready] }: Move): string => `drain ${rounded(drain)} + grant ${rounded(grant)} + ready ${rounded(ready)} ms`;

function settled(world: PartitionWorld): Promise<unknown> {
  return world.until('the group has settled', async () => {
    const { settled: all, members } = await world.client.assignment(world.ref);
    return all && members.length === WORKERS;
  }, 20_000, 20);
}

/**
 * Restarts every process in turn, each under its name. `keepSeats`: their seats are kept meanwhile.
 *
 * The new process is loaded before the old one is asked to stop, and joins when that one is gone, as with an orchestrator
 * that may have one process more than it shall (Kubernetes: maxSurge). To load Node and the library takes a core for about
 * half a second, and partitions that move meanwhile would wait for the core: that says how many cores there are. What is
 * measured is what leaving and joining themselves cost.
 */
async function restartAll(world: PartitionWorld, rounds: number, perRound: number, keepSeats: boolean): Promise<void> {
  const { rng, say } = world.context;
  for (let round = 1; round <= rounds; round++) {
    for (const member of rng.shuffle(world.members).slice(0, perRound)) {
      const next = await world.load({ name: member.name });
      await world.stop(member);
      await world.enter(next);
      await settled(world); // as an orchestrator waits until the new one is ready
      await sleep(rng.int(0, 100)); // any phase of the others' heartbeats
    }
    say(`round ${round} of ${rounds}: ${perRound} processes restarted${keepSeats ? ', seats kept' : ''}`);
  }
}

/**
 * What has to move: when a process leaves, what it had; when it comes, its share. With its seat kept, nothing goes to
 * another one.
 */
function movesAllowed(moves: readonly Move[], restarts: number, keepSeats: boolean, nameOf: (label: string) => string | undefined): string[] {
  if (keepSeats) {
    const abroad = moves.filter(({ from, to }) => nameOf(from) !== nameOf(to));
    return abroad.length > 0 ? [`${abroad.length} partitions went to another member although seats were kept`] : [];
  }
  const allowed = restarts * (Math.ceil(PARTITIONS / WORKERS) + Math.floor(PARTITIONS / WORKERS));
  return moves.length > allowed ? [`${moves.length} partitions moved in ${restarts} restarts (${allowed} had to)`] : [];
}

async function play(context: ScenarioContext, rounds: number, perRound: number, keepSeats: boolean): Promise<Outcome> {
  const tuning = { prefetch: PREFETCH, ...(keepSeats ? { rejoinMs: 30_000 } : {}) };
  return PartitionWorld.with(context, { partitions: PARTITIONS, ttlMs: TTL_MS, tuning, modes: keepSeats ? ['auto'] : ['auto', 'manual', 'batch'] }, async (world) => {
    await world.spawnMany(WORKERS);
    await settled(world);
    const load = new PartitionLoad(world, { perSecond: context.short ? SHORT_PER_SECOND : PER_SECOND, keys: 1_000, maxWorkMs: 0, rng: context.rng.fork() });
    await sleep(500); // the load is steady
    const beganAt = world.now();
    await restartAll(world, rounds, perRound, keepSeats);
    await load.stop();
    await world.settled(load.count, 10_000);
    const breaches = await world.leftovers(5_000);
    const entries = await world.ledger.entries();
    const { counts, breaches: broken } = judge(entries, load.sent, PREFETCH);
    breaches.push(...broken);
    if ((counts['reruns'] ?? 0) > 0) breaches.push(`${counts['reruns']} re-runs although nobody died`);
    if (load.failures.length > 0) breaches.push(`${load.failures.length} sends failed: ${load.failures[0]}`);
    const { moves, movedWaits, otherWaits, firstReads, unclean } = pausesOf(entries, beganAt);
    if (unclean > 0) breaches.push(`${unclean} partitions changed hands without a clean hand-over`);
    const restarts = rounds * perRound;
    breaches.push(...movesAllowed(moves, restarts, keepSeats, (label) => world.nameOf(label)));
    const pauses = moves.map(({ pauseMs }) => pauseMs);
    const slowest = moves.toSorted((a, b) => b.pauseMs - a.pauseMs)[0];
    const longest = slowest?.pauseMs ?? 0;
    const allowed = context.short ? ANYWHERE_MS : PAUSE_MS;
    // With its seat kept a partition waits for its process to start: that is what was asked for.
    if (!keepSeats && longest > allowed) breaches.push(`a partition that moved was paused for ${rounded(longest)} ms (allowed ${allowed})`);
    if (otherWaits.length > 0 && summarize(otherWaits).p99 > allowed) breaches.push(`messages of partitions that did not move waited ${summarize(otherWaits).p99} ms at p99 (allowed ${allowed})`);
    return { verdict: { ...counts, restarts, moves: moves.length, ...spread('pause', pauses), slowestPause: slowest && partsOf(slowest), ...spread('firstRead', firstReads), ...spread('movedWait', movedWaits), ...spread('otherWait', otherWaits) }, breaches };
  });
}

export const partitionRolling: Scenario = {
  name: 'partition-rolling',
  about: 'rolling restarts of ten processes under load: nothing runs twice, partitions pause only while they move, at most 100 ms',
  takesSeconds: 110,
  run: async (context) => {
    const moving = await play(context, context.short ? 1 : 5, context.short ? 4 : WORKERS, false);
    const kept = await play(context, 1, context.short ? 2 : WORKERS, true);
    const prefixed = Object.entries(kept.verdict).map(([name, value]) => [`seatsKept.${name}`, value]);
    return { verdict: { ...moving.verdict, ...Object.fromEntries(prefixed) }, breaches: [...moving.breaches, ...kept.breaches.map((text) => `with seats kept: ${text}`)] };
  },
};
