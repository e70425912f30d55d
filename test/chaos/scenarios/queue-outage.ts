import { Buffer } from 'node:buffer';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisServer } from '../../support/redis-server.js';
import type { Status } from '../queue/messages.js';
import { GROUP, QUEUE, QueueWorld } from '../queue/world.js';
import { type Scenario, type ScenarioContext, within } from '../scenario.js';

const TTL_MS = 2_000;
const PER_SECOND = 10_000;
/** Clearly less is another promise than the one about 10,000 messages a second. */
const OFFERED_SHARE = 0.9;
/** Else it was no bound that stopped it. */
const NEARLY_FULL = 0.9;
/** The defaults of `maxPending` and `maxPendingBytes`; the bounds are those that everybody has. */
const MAX_PENDING = 50_000;
const MAX_PENDING_BYTES = 33_554_432;
const RSS_GROWTH_BYTES = 100 * 1_048_576;
const RESUME_MS = 5_000;
const QUIET_MS = TTL_MS + 8_000;
/** A slow machine fills the buffer later. */
const PATIENCE_MS = 15_000;
const TYPED = ['BACKPRESSURE', 'CONNECTION'];

/** What is sent while Redis is away. */
interface Load {
  readonly ballast: number;
  readonly wide: boolean;
  /** Which bound it meets. */
  readonly full: 'messages' | 'bytes';
}

/** 161 bytes of JSON, as those of the benchmarks: there are as many as may be, long before the bytes count. */
const SMALL: Load = { ballast: 119, wide: false, full: 'messages' };
/** Some 1,960 bytes, in 680 characters: as many as may be would be 93 MiB. */
const WIDE: Load = { ballast: 640, wide: true, full: 'bytes' };

interface Watched { readonly open: number; readonly rssBytes: number; readonly called: number; readonly offered: number; readonly perSecond: number }

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
    return { ...most, called, offered, perSecond: Math.round((offered * 1_000) / tookMs) };
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

interface Away { usual: Watched; down: Watched; refused: number; heldBytes: number; grownBytes: number; resumeMs: number }

/** Redis away for so long, the only producer sending `load`: bounds, memory, and that all go on. */
async function away(context: ScenarioContext, world: QueueWorld, load: Load, outageMs: number, breaches: string[]): Promise<Away> {
  const server = world.topology.servers[0]!;
  const wrong = (text: string): void => void breaches.push(`${load.full}: ${text}`);
  const refusals = async (): Promise<number> => (await world.sync(), world.account.rejections['BACKPRESSURE'] ?? 0);
  const usual = await watch(world, context.short ? 1_000 : 5_000);
  const before = await refusals();
  await halt(server);
  context.say(`Redis is away (${load.full})`);
  const down = await watch(world, outageMs, true);
  const refused = (await refusals()) - before;
  // All are as long, but for their numbers.
  const heldBytes = down.open * Buffer.byteLength(JSON.stringify({ p: 1, n: down.called, workMs: 0, ballast: (load.wide ? '\u6f22' : 'x').repeat(load.ballast) }));
  context.say(`offered ${down.offered} messages meanwhile, ${down.perSecond}/s; ${refused} were refused, ${down.open} open at most, ${mib(heldBytes)} MiB`);
  await server.restart();
  const allowedMs = within(context, RESUME_MS);
  const back = await world.resumed(allowedMs + 5_000);
  context.say(`all at work again after ${back.ms} ms`);
  if (back.ms > allowedMs) wrong(`resumed ${back.ms} ms after the outage (allowed ${allowedMs}); not back: ${back.missing.join(', ') || 'nobody'}`);
  if (down.open > MAX_PENDING) wrong(`${down.open} sends were open, ${MAX_PENDING} are allowed`);
  if (heldBytes > MAX_PENDING_BYTES) wrong(`${heldBytes} bytes were held, ${MAX_PENDING_BYTES} are allowed`);
  if (refused === 0 || (load.full === 'messages' ? down.open / MAX_PENDING : heldBytes / MAX_PENDING_BYTES) < NEARLY_FULL) wrong(`${refused} were refused, ${down.open} sends of ${heldBytes} bytes were open at most: the bound was not reached`);
  if (down.perSecond < OFFERED_SHARE * PER_SECOND) wrong(`only ${down.perSecond} messages a second were offered while Redis was away, not ${PER_SECOND}`);
  const grownBytes = down.rssBytes - usual.rssBytes;
  if (grownBytes > RSS_GROWTH_BYTES) wrong(`memory grew by ${mib(grownBytes)} MiB`);
  return { usual, down, refused, heldBytes, grownBytes, resumeMs: back.ms };
}

const mib = (bytes: number): number => Math.round(bytes / 1_048_576);

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
  about: 'Redis away for a minute at 10,000 messages a second, twice, so that messages and bytes meet their bound, and out of memory: bounded buffer and memory, typed errors, nothing lost (one server)',
  takesSeconds: 150,
  run: async (context) => {
    if (context.topology === 'cluster') return { verdict: { skipped: 'for one server; the topology changes nothing about a buffer' }, breaches: [] };
    return QueueWorld.with(context, { shards: 2, ttlMs: TTL_MS, tuning: { prefetch: 2_000, concurrency: 500 } }, async (world) => {
      const { short, say, topology } = { ...context, topology: world.topology };
      const server = topology.servers[0]!;
      const breaches: string[] = [];
      const outageMs = (context.seconds ?? (short ? 5 : 60)) * 1_000;
      await Promise.all([world.consume(), world.consume()]);
      await world.produce({ perSecond: PER_SECOND, ballast: SMALL.ballast });
      await world.resumed();
      const small = await away(context, world, SMALL, outageMs, breaches);
      const oom = await outOfMemory(world, server, 20_000, breaches);
      say(`out of memory: ${JSON.stringify(oom)}`);
      const allowedMs = within(context, RESUME_MS);
      const again = await world.resumed(allowedMs + 5_000);
      if (again.ms > allowedMs) breaches.push(`resumed ${again.ms} ms after memory came back (allowed ${allowedMs}); not back: ${again.missing.join(', ') || 'nobody'}`);
      const first = world.producers[0]!;
      await first.ask({ type: 'hold' }, 'held');
      await world.produce({ perSecond: PER_SECOND, ballast: WIDE.ballast, wide: true });
      world.producers.shift(); // the others are those that have to go on
      await first.stop().catch((error: unknown) => breaches.push(String(error)));
      await world.resumed();
      const wide = await away(context, world, WIDE, outageMs, breaches);
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
      const of = ({ usual, down, refused, heldBytes, grownBytes, resumeMs }: Away): object => ({
        offeredBeforePerSecond: usual.perSecond, offeredAway: down.offered, offeredAwayPerSecond: down.perSecond, refusedAway: refused, openMost: down.open, heldMostMiB: mib(heldBytes), rssBeforeMiB: mib(usual.rssBytes), rssGrownMiB: mib(grownBytes), resumeMs,
      });
      return {
        verdict: {
          ...counts, rejections, openAllowed: MAX_PENDING, heldAllowedMiB: mib(MAX_PENDING_BYTES), ...of(small), ...Object.fromEntries(Object.entries(of(wide)).map(([name, value]) => [`wide_${name}`, value])), resumeAfterOomMs: again.ms, resumeAllowedMs: allowedMs,
          ...Object.fromEntries(Object.entries(oom).map(([name, value]) => [`oom_${name}`, value])), drainedMs, kept, troubles: world.troubles().length,
        },
        breaches,
      };
    });
  },
};
