import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisServer } from '../../support/redis-server.js';
import type { Status } from '../queue/messages.js';
import { GROUP, QUEUE, QueueWorld } from '../queue/world.js';
import { type Scenario, within } from '../scenario.js';

const TTL_MS = 2_000;
const PER_SECOND = 10_000;
/** Clearly less is another promise than the one about 10,000 messages a second. */
const OFFERED_SHARE = 0.9;
/** The default of `maxPending`; the bounds are those that everybody has. */
const MAX_PENDING = 50_000;
/** With it a message is 161 bytes of JSON, as those of the benchmarks. */
const BALLAST = 119;
const RSS_GROWTH_BYTES = 100 * 1_048_576;
const RESUME_MS = 5_000;
const QUIET_MS = TTL_MS + 8_000;
/** A slow machine fills the buffer later. */
const PATIENCE_MS = 15_000;
const TYPED = ['BACKPRESSURE', 'CONNECTION'];

interface Watched { readonly open: number; readonly rssBytes: number; readonly offered: number; readonly perSecond: number }

/** What the producer is offered over a time, and the most that it holds and uses; longer, but not for ever, where it is not full as soon. */
async function watch(world: QueueWorld, forMs: number, untilFull = false): Promise<Watched> {
  const look = (): Promise<Status> => world.producers[0]!.ask({ type: 'status' }, 'status');
  const first = await look();
  const startedAt = performance.now();
  const most = { open: 0, rssBytes: 0 };
  for (;;) {
    const ms = performance.now() - startedAt;
    await sleep(Math.min(250, Math.max(0, forMs - ms) || 250));
    const { open, rssBytes, called, rejected } = await look();
    most.open = Math.max(most.open, open);
    most.rssBytes = Math.max(most.rssBytes, rssBytes);
    const tookMs = performance.now() - startedAt;
    if (tookMs < forMs || (untilFull && rejected === first.rejected && tookMs < forMs + PATIENCE_MS)) continue;
    const offered = called - first.called;
    return { ...most, offered, perSecond: Math.round((offered * 1_000) / tookMs) };
  }
}

/** Stopped with all it has, as a machine that is restarted. */
async function halt(server: RedisServer): Promise<void> {
  await server.cli('SHUTDOWN', 'SAVE').catch(() => undefined); // it answers by closing the connection
  while (server.running) await sleep(10);
}

/** Waits until what was under way is answered: sends are refused, and none is accepted any more. @returns how the producer stands then */
async function refusing(world: QueueWorld): Promise<Status> {
  const look = (): Promise<Status> => world.producers[0]!.ask({ type: 'status' }, 'status');
  const first = await look();
  let last = first;
  await world.until('sends are refused', async () => {
    const before = last;
    last = await look();
    return last.rejected > first.rejected && last.resolved === before.resolved;
  }, 5_000, 100).catch(() => undefined); // told by who compares the next look with this one
  return last;
}

interface OutOfMemory { backlog: number; settledMeanwhile: number; refusedSends: number; acceptedSends: number; sessionsLost: number; heartbeats: number }

/** No memory left: sends are refused with a type, and everything that frees memory goes on. */
async function outOfMemory(world: QueueWorld, server: RedisServer, forMs: number, breaches: string[]): Promise<OutOfMemory> {
  const queues = world.engine.queues();
  const [producer] = world.producers;
  await queues.pause(QUEUE, GROUP);
  const waiting = async (): Promise<number> => (await queues.stats(QUEUE, GROUP)).messages;
  await sleep(400);
  await world.until('there is a backlog', async () => (await waiting()) > 0);
  // Of those that live: one that the outage has ended may not have been buried yet.
  const deadlinesOf = async (): Promise<Map<string, number>> => {
    const [seconds] = await world.redis.time();
    const lists = await Promise.all(world.keys().map(({ group }) => world.redis.zrange(group(GROUP).sessions, `(${Number(seconds) * 1_000}`, '+inf', 'BYSCORE', 'WITHSCORES')));
    return new Map(lists.flatMap((list) => list.flatMap((text, i) => (i % 2 === 1 ? [[list[i - 1]!, Number(text)] as const] : []))));
  };
  await server.cli('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
  await server.cli('CONFIG', 'SET', 'maxmemory', 1_048_576);
  const before = await refusing(world);
  await world.sync();
  const deadlines = await deadlinesOf();
  const lostBefore = [...world.account.sessions.values()].filter(({ state }) => state === 'lost').length;
  const backlog = await waiting();
  await queues.resume(QUEUE, GROUP);
  const startedAt = performance.now();
  await world.until('the backlog is settled', async () => (await waiting()) === 0, forMs).catch(() => undefined);
  await sleep(Math.max(0, 2 * TTL_MS - (performance.now() - startedAt))); // heartbeats that are refused would end sessions
  const left = await waiting();
  const after = await producer!.ask({ type: 'status' }, 'status');
  const later = await deadlinesOf();
  await world.sync();
  const sessionsLost = [...world.account.sessions.values()].filter(({ state }) => state === 'lost').length - lostBefore;
  const heartbeats = [...deadlines].filter(([session, deadline]) => (later.get(session) ?? 0) > deadline).length;
  await server.cli('CONFIG', 'SET', 'maxmemory', 0);
  const result = { backlog, settledMeanwhile: backlog - left, refusedSends: after.rejected - before.rejected, acceptedSends: after.resolved - before.resolved, sessionsLost, heartbeats };
  if (backlog === 0) breaches.push('out of memory: there was no backlog to settle, so this shows nothing');
  if (left > 0) breaches.push(`out of memory: ${left} of ${backlog} messages were not settled`);
  if (result.refusedSends === 0) breaches.push('out of memory: no send was refused');
  if (result.acceptedSends > 0) breaches.push(`out of memory: ${result.acceptedSends} sends were accepted`);
  if (sessionsLost > 0) breaches.push(`out of memory: ${sessionsLost} sessions were lost`);
  if (deadlines.size === 0 || heartbeats < deadlines.size) breaches.push(`out of memory: ${heartbeats} of ${deadlines.size} sessions were renewed`);
  return result;
}

export const queueOutage: Scenario = {
  name: 'queue-outage',
  about: 'Redis away for a minute at 10,000 messages a second, then out of memory: bounded buffer and memory, typed errors, nothing lost (one server)',
  takesSeconds: 110,
  run: async (context) => {
    if (context.topology === 'cluster') return { verdict: { skipped: 'for one server; the topology changes nothing about a buffer' }, breaches: [] };
    return QueueWorld.with(context, { shards: 2, ttlMs: TTL_MS, tuning: { prefetch: 2_000, concurrency: 500 } }, async (world) => {
      const { short, say, topology } = { ...context, topology: world.topology };
      const server = topology.servers[0]!;
      const breaches: string[] = [];
      const outageMs = (context.seconds ?? (short ? 5 : 60)) * 1_000;
      await Promise.all([world.consume(), world.consume()]);
      await world.produce({ perSecond: PER_SECOND, ballast: BALLAST });
      await world.resumed();
      const usual = await watch(world, short ? 1_000 : 5_000);
      await halt(server);
      say('Redis is away');
      const down = await watch(world, outageMs, true);
      await world.sync();
      const refused = world.account.rejections['BACKPRESSURE'] ?? 0;
      say(`offered ${down.offered} messages meanwhile, ${down.perSecond}/s; ${refused} were refused, ${down.open} open at most`);
      await server.restart();
      const allowedMs = within(context, RESUME_MS);
      const back = await world.resumed(allowedMs + 5_000);
      say(`all at work again after ${back.ms} ms`);
      if (back.ms > allowedMs) breaches.push(`resumed ${back.ms} ms after the outage (allowed ${allowedMs}); not back: ${back.missing.join(', ') || 'nobody'}`);
      if (down.open > MAX_PENDING) breaches.push(`${down.open} sends were open, ${MAX_PENDING} are allowed`);
      if (refused === 0) breaches.push(`none was refused, ${down.open} sends were open at most: the bound was not reached`);
      if (down.perSecond < OFFERED_SHARE * PER_SECOND) breaches.push(`only ${down.perSecond} messages a second were offered while Redis was away, not ${PER_SECOND}`);
      const grown = down.rssBytes - usual.rssBytes;
      if (grown > RSS_GROWTH_BYTES) breaches.push(`memory grew by ${Math.round(grown / 1_048_576)} MiB`);
      const oom = await outOfMemory(world, server, 20_000, breaches);
      say(`out of memory: ${JSON.stringify(oom)}`);
      const again = await world.resumed(allowedMs + 5_000);
      if (again.ms > allowedMs) breaches.push(`resumed ${again.ms} ms after memory came back (allowed ${allowedMs}); not back: ${again.missing.join(', ') || 'nobody'}`);
      await world.producers[0]!.ask({ type: 'hold' }, 'held');
      const drainedMs = await world.handled(QUIET_MS);
      breaches.push(...(await world.stopConsumers()));
      const kept = await world.readQueue();
      const { counts, breaches: broken } = world.judge();
      breaches.push(...broken);
      await world.producers[0]!.stop().catch((error: unknown) => breaches.push(String(error)));
      if (kept > 0) breaches.push(`${kept} messages are kept in the queue when all is handled`);
      const { rejections } = world.account;
      for (const code of TYPED) if (!rejections[code] && (code !== 'CONNECTION' || outageMs > 20_000)) breaches.push(`no send was rejected with ${code}`);
      const other = Object.keys(rejections).filter((code) => !TYPED.includes(code));
      if (other.length > 0) breaches.push(`sends were rejected with ${other.join(', ')}`);
      breaches.push(...world.leftovers());
      const mib = (bytes: number): number => Math.round(bytes / 1_048_576);
      return {
        verdict: {
          ...counts, rejections, offeredBeforePerSecond: usual.perSecond, offeredAway: down.offered, offeredAwayPerSecond: down.perSecond, refusedAway: refused, openMost: down.open, openAllowed: MAX_PENDING, rssBeforeMiB: mib(usual.rssBytes), rssGrownMiB: mib(grown), resumeMs: back.ms, resumeAfterOomMs: again.ms, resumeAllowedMs: allowedMs,
          ...Object.fromEntries(Object.entries(oom).map(([name, value]) => [`oom_${name}`, value])), drainedMs, kept, troubles: world.troubles().length,
        },
        breaches,
      };
    });
  },
};
