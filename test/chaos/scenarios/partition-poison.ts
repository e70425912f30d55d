import { setTimeout as sleep } from 'node:timers/promises';
import type { Entry } from '../partition/effects.js';
import { judge } from '../partition/judge.js';
import { PartitionLoad, type SentPoison } from '../partition/load.js';
import type { Poison } from '../partition/messages.js';
import { Supervisor } from '../partition/supervisor.js';
import { PartitionWorld } from '../partition/world.js';
import type { Scenario } from '../scenario.js';

const TTL_MS = 600;
const WORKERS = 4;
const PREFETCH = 32;
/** `maxCrashes` is 5; others that die beside it, and messages that get through meanwhile, put its discovery off. */
const MOST_RUNS = 20;
const KINDS: readonly Poison[] = ['SIGKILL', 'exit', 'uncaught'];

/** The poison ran after all that came before it of its key, and nothing of its key ran before it was done with. */
function outOfTurn(entries: readonly Entry[], { key, after, partition, id }: SentPoison): string | undefined {
  const last = entries.findLastIndex((entry) => entry.kind === 'attempt' && entry.partition === partition && entry.detail === id);
  const first = entries.findIndex((entry) => entry.kind === 'attempt' && entry.partition === partition && entry.detail === id);
  if (first < 0) return `the poison behind ${key}#${after} never ran`;
  const before = after === 0 || entries.findIndex((entry) => entry.kind === 'effect' && entry.key === key && entry.seq === after && entry.detail === 'applied') < first;
  if (!before) return `the poison behind ${key}#${after} ran before it`;
  const overtaken = entries.slice(0, last).find((entry) => entry.kind === 'attempt' && entry.key === key && entry.seq > after);
  return overtaken && `${key}#${overtaken.seq} ran before the poison behind ${key}#${after} was given up`;
}

export const partitionPoison: Scenario = {
  name: 'partition-poison',
  about: 'messages that end their process, among load: given up as "crashed", the rest in order, no innocent one given up',
  takesSeconds: 60,
  run: (context) => PartitionWorld.with(context, { partitions: 12, ttlMs: TTL_MS, tuning: { prefetch: PREFETCH, concurrency: 3 }, modes: ['auto', 'manual', 'batch'] }, async (world) => {
    const { rng } = context;
    const seconds = context.seconds ?? (context.short ? 3 : 30);
    const count = context.short ? 2 : 6;
    await Promise.all(Array.from({ length: WORKERS }, () => world.spawn()));
    const supervisor = new Supervisor(world);
    const load = new PartitionLoad(world, { perSecond: 400, keys: 60, maxWorkMs: 5, rng: rng.fork() });
    const poisons: SentPoison[] = [];
    let kills = 0;
    for (let i = 0; i < count; i++) {
      await sleep((seconds * 1_000) / (count + 1));
      const poison = await load.poison(KINDS[i % KINDS.length]!, rng.int(0, 1) * rng.int(20, 150));
      poisons.push(poison);
      context.say(`poison (${poison.kind}) behind ${poison.key}#${poison.after}, message ${poison.id} of partition ${poison.partition}`);
      if (context.short || i % 2 === 0) continue;
      // One that has nothing to do with it, so that innocent messages die too.
      await sleep(rng.int(100, 1_000));
      kills++;
      const victim = world.running()[0];
      context.say(`SIGKILL of ${victim?.process.label ?? 'nobody'}`);
      victim?.process.signal('SIGKILL');
    }
    await sleep((seconds * 1_000) / (count + 1));
    await load.stop();
    const breaches: string[] = [];
    const letters = (): ReturnType<typeof world.client.deadLetters> => world.client.deadLetters(world.ref);
    await world.until('all poison is given up', async () => (await letters()).length >= count, 60_000, 50).catch((error: unknown) => breaches.push(String(error)));
    if (breaches.length === 0) await world.settled(load.count, 8_000);
    breaches.push(...(await world.leftovers(8_000)));
    await supervisor.stop();
    const given = await letters();
    const entries = await world.ledger.entries();
    const runs = poisons.map(({ partition, id }) => entries.filter((entry) => entry.kind === 'attempt' && entry.partition === partition && entry.detail === id).length);
    for (const [i, poison] of poisons.entries()) {
      const found = given.filter(({ id, partition }) => id === poison.id && partition === poison.partition);
      if (found.length !== 1 || found[0]?.reason !== 'crashed') breaches.push(`the poison behind ${poison.key}#${poison.after} has ${found.length} dead letters, for ${found.map(({ reason }) => reason).join(', ') || 'nothing'}; it ran ${runs[i]} times`);
      const late = outOfTurn(entries, poison);
      if (late !== undefined) breaches.push(late);
    }
    const innocents = given.filter(({ id, partition }) => !poisons.some((poison) => poison.id === id && poison.partition === partition));
    if (innocents.length > 0) breaches.push(`${innocents.length} innocent messages were given up: ${innocents.slice(0, 3).map(({ key, id, reason }) => `${id} of ${key} as ${reason}`).join('; ')}`);
    // Poison has no number and no effect; what became of it is judged above.
    const { counts, breaches: broken } = judge(entries.filter(({ kind, seq }) => kind !== 'parked' && !(kind === 'attempt' && seq === 0)), load.sent, PREFETCH);
    breaches.push(...broken);
    if (supervisor.failures.length > 0) breaches.push(`starts failed: ${supervisor.failures.slice(0, 2).join('; ')}`);
    if (load.failures.length > 0) breaches.push(`${load.failures.length} sends failed: ${load.failures[0]}`);
    const most = Math.max(...runs);
    if (most > MOST_RUNS) breaches.push(`a message ended ${most} processes before it was given up (allowed ${MOST_RUNS})`);
    return { verdict: { ...counts, poisons: count, deadLetters: given.length, innocents: innocents.length, deaths: supervisor.deaths, otherKills: kills, poisonRuns: runs, poisonRunsMax: most }, breaches };
  }),
};
