import { setTimeout as sleep } from 'node:timers/promises';
import { slotOf } from '../queue/library.js';
import { errorsOf, moveSlot } from '../queue/slots.js';
import { QueueWorld } from '../queue/world.js';
import { type Scenario, within } from '../scenario.js';

const TTL_MS = 3_000;
/** More than there are masters to spread them over: each has several, whichever slots it has given away. */
const SHARDS = { short: 6, long: 10 };
const MOVES = { short: 10, long: 100 };
/** Of the moves: of slots in which the queue has its keys. Each of them moves, to and fro in the long form. */
const OWN_SHARE = 0.7;
const PRODUCERS = 2;
const CONSUMERS = 3;
const PER_SECOND = 1_000;
const PREFETCH = 120;
const RESUME_MS = 5_000;
const QUIET_MS = TTL_MS + 6_000;
const SLOTS = 16_384;

export const queueReshard: Scenario = {
  name: 'queue-reshard',
  about: 'slots moved between masters, most of them the queue\'s own, under load of messages of every kind: nothing lost, no CROSSSLOT (cluster)',
  takesSeconds: 60,
  run: async (context) => {
    if (context.topology !== 'cluster') return { verdict: { skipped: 'needs --topology cluster' }, breaches: [] };
    const form = context.short ? 'short' : 'long';
    return QueueWorld.with(context, { shards: SHARDS[form], ttlMs: TTL_MS, tuning: { prefetch: PREFETCH, concurrency: 24 } }, async (world) => {
      const { rng, short, say } = context;
      if (world.topology.kind !== 'cluster') throw new Error('a cluster only');
      const { cluster } = world.topology;
      const { masters } = cluster;
      await Promise.all(Array.from({ length: CONSUMERS }, () => world.consume()));
      await Promise.all(Array.from({ length: PRODUCERS }, () => world.produce({ perSecond: PER_SECOND / PRODUCERS, maxWorkMs: 5, mixed: true })));
      await world.resumed();
      const own = world.keys().map(({ messages }) => slotOf(messages));
      const others = rng.shuffle(Array.from({ length: SLOTS }, (_, slot) => slot)).filter((slot) => !own.includes(slot));
      const moves = MOVES[form];
      const ownMoves = Math.round(OWN_SHARE * moves);
      // Each of the queue's own before any moves again.
      const turns = Array.from({ length: Math.ceil(ownMoves / own.length) }, () => rng.shuffle(own)).flat().slice(0, ownMoves);
      const elsewhere = new Set(rng.shuffle(Array.from({ length: moves }, (_, i) => i)).slice(0, moves - ownMoves));
      const slots = Array.from({ length: moves }, (_, i) => (elsewhere.has(i) ? others.pop()! : turns.pop()!));
      const owners = new Map<number, (typeof masters)[number]>();
      const startedAt = performance.now();
      const moved = { own: new Set<number>(), ownMoves: 0, keys: 0 };
      for (const slot of slots) {
        const from = owners.get(slot) ?? masters.find(({ slots: [first, last] }) => slot >= first && slot <= last)!;
        const to = rng.pick(masters.filter((node) => node !== from));
        const keys = await moveSlot(cluster, slot, from, to);
        moved.keys += keys;
        owners.set(slot, to);
        if (own.includes(slot)) {
          if (keys > 0) moved.own.add(slot);
          moved.ownMoves += keys > 0 ? 1 : 0;
          say(`slot ${slot} of shard ${own.indexOf(slot)} moved, ${keys} keys`);
        }
        await sleep(short ? 50 : 150);
      }
      const movedMs = Math.round(performance.now() - startedAt);
      const allowedMs = within(context, RESUME_MS);
      const back = await world.resumed(allowedMs + 5_000);
      await Promise.all(world.producers.map((producer) => producer.ask({ type: 'hold' }, 'held')));
      const drainedMs = await world.handled(QUIET_MS);
      await world.until('nothing is pending', async () => (await world.pending()) === 0, QUIET_MS, 50).catch(() => undefined);
      const pending = await world.pending();
      const breaches = await world.stopConsumers();
      const kept = await world.readQueue();
      const delayed = (await Promise.all(world.keys().map((keys) => world.redis.zcard(keys.delayed)))).reduce((sum, count) => sum + count, 0);
      const { counts, breaches: broken } = world.judge();
      breaches.push(...broken);
      await Promise.all(world.producers.map((producer) => producer.stop())).catch((error: unknown) => breaches.push(String(error)));
      const crossSlot = await errorsOf(masters, 'CROSSSLOT');
      const redirected = { moved: await errorsOf(masters, 'MOVED'), ask: await errorsOf(masters, 'ASK'), tryAgain: await errorsOf(masters, 'TRYAGAIN') };
      if (back.ms > allowedMs) breaches.push(`resumed ${back.ms} ms after the last slot (allowed ${allowedMs}); not back: ${back.missing.join(', ') || 'nobody'}`);
      if (crossSlot > 0) breaches.push(`${crossSlot} commands were refused with CROSSSLOT`);
      if (redirected.moved === 0) breaches.push('nobody was redirected: this run shows nothing');
      if (moved.own.size < own.length || 2 * moved.ownMoves <= moves) breaches.push(`${moved.ownMoves} of ${moves} moves took keys of the queue, of ${moved.own.size} of its ${own.length} slots: this run shows too little`);
      if (counts['sessionsLost']! > 0) breaches.push(`${counts['sessionsLost']} sessions were lost`);
      if (Object.keys(world.account.rejections).length > 0) breaches.push(`sends were rejected: ${JSON.stringify(world.account.rejections)}`);
      if (pending + kept + delayed > 0) breaches.push(`${pending} messages are pending, ${kept} kept and ${delayed} delayed when all is handled`);
      breaches.push(...world.leftovers());
      return { verdict: { slots: moves, ownSlotMoves: moved.ownMoves, keysMoved: moved.keys, movedMs, crossSlot, ...redirected, ...counts, rejections: world.account.rejections, resumeMs: back.ms, resumeAllowedMs: allowedMs, drainedMs, pending, kept, delayed, troubles: world.troubles().length }, breaches };
    });
  },
};
