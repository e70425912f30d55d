import { setTimeout as sleep } from 'node:timers/promises';
import { slotOf } from '../queue/library.js';
import { errorsOf, moveSlot } from '../queue/slots.js';
import { QueueWorld } from '../queue/world.js';
import { type Scenario, within } from '../scenario.js';

const TTL_MS = 3_000;
const SHARDS = 6;
const PRODUCERS = 2;
const CONSUMERS = 3;
const PER_SECOND = 1_000;
const PREFETCH = 120;
const RESUME_MS = 5_000;
const QUIET_MS = TTL_MS + 6_000;
const SLOTS = 16_384;

export const queueReshard: Scenario = {
  name: 'queue-reshard',
  about: 'slots moved between masters under load, those of the queue\'s shards first: nothing lost, no CROSSSLOT (cluster)',
  takesSeconds: 60,
  run: async (context) => {
    if (context.topology !== 'cluster') return { verdict: { skipped: 'needs --topology cluster' }, breaches: [] };
    return QueueWorld.with(context, { shards: SHARDS, ttlMs: TTL_MS, tuning: { prefetch: PREFETCH, concurrency: 24 } }, async (world) => {
      const { rng, short, say } = context;
      if (world.topology.kind !== 'cluster') throw new Error('a cluster only');
      const { cluster } = world.topology;
      const { masters } = cluster;
      await Promise.all(Array.from({ length: CONSUMERS }, () => world.consume()));
      await Promise.all(Array.from({ length: PRODUCERS }, () => world.produce({ perSecond: PER_SECOND / PRODUCERS, maxWorkMs: 5 })));
      await world.resumed();
      const own = world.keys().map(({ messages }) => slotOf(messages));
      const others = rng.shuffle(Array.from({ length: SLOTS }, (_, slot) => slot)).filter((slot) => !own.includes(slot));
      // In the long form each of the queue's own moves several times.
      const slots = [...own, ...(short ? [] : [...own, ...own]), ...others].slice(0, short ? 10 : 100);
      const owners = new Map<number, (typeof masters)[number]>();
      const startedAt = performance.now();
      let keysMoved = 0;
      for (const slot of slots) {
        const from = owners.get(slot) ?? masters.find(({ slots: [first, last] }) => slot >= first && slot <= last)!;
        const to = rng.pick(masters.filter((node) => node !== from));
        const keys = await moveSlot(cluster, slot, from, to);
        keysMoved += keys;
        owners.set(slot, to);
        if (own.includes(slot)) say(`slot ${slot} of shard ${own.indexOf(slot)} moved, ${keys} keys`);
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
      const { counts, breaches: broken } = world.judge();
      breaches.push(...broken);
      await Promise.all(world.producers.map((producer) => producer.stop())).catch((error: unknown) => breaches.push(String(error)));
      const crossSlot = await errorsOf(masters, 'CROSSSLOT');
      const redirected = { moved: await errorsOf(masters, 'MOVED'), ask: await errorsOf(masters, 'ASK'), tryAgain: await errorsOf(masters, 'TRYAGAIN') };
      if (back.ms > allowedMs) breaches.push(`resumed ${back.ms} ms after the last slot (allowed ${allowedMs}); not back: ${back.missing.join(', ') || 'nobody'}`);
      if (crossSlot > 0) breaches.push(`${crossSlot} commands were refused with CROSSSLOT`);
      if (redirected.moved === 0 || keysMoved === 0) breaches.push('nobody was redirected, or no key moved: this run shows nothing');
      if (counts['sessionsLost']! > 0) breaches.push(`${counts['sessionsLost']} sessions were lost`);
      if (Object.keys(world.account.rejections).length > 0) breaches.push(`sends were rejected: ${JSON.stringify(world.account.rejections)}`);
      if (pending + kept > 0) breaches.push(`${pending} messages are pending and ${kept} kept when all is handled`);
      breaches.push(...world.leftovers());
      return { verdict: { slots: slots.length, keysMoved, movedMs, crossSlot, ...redirected, ...counts, rejections: world.account.rejections, resumeMs: back.ms, resumeAllowedMs: allowedMs, drainedMs, pending, kept, troubles: world.troubles().length }, breaches };
    });
  },
};
