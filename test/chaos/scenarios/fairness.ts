import { type Scenario, within } from '../scenario.js';
import { World } from '../world.js';

const WITHIN_MS = 5_000;

async function burst(world: World): Promise<number[]> {
  const streams = 1_000;
  const consumers = await world.spawn(10, { lease: { handOver: false } });
  await Promise.all(Array.from({ length: streams }, (_, i) => world.announce(`burst-${i}`)));
  const tallies = () => Promise.all(consumers.map((consumer) => consumer.ask({ type: 'tally' }, 'tallied')));
  await world.until('all streams of the burst run', async () => (await tallies()).reduce((sum, { held }) => sum + held, 0) === streams, 20_000, 100);
  return (await tallies()).map(({ held }) => held);
}

async function scaleOut(world: World, streams: number): Promise<{ ms: number | null; held: number[] }> {
  const lease = { handOver: true };
  const consumers = await world.spawn(3, { lease });
  await Promise.all(Array.from({ length: streams }, (_, i) => world.announce(`spread-${i}`)));
  const held = async (): Promise<number[]> => (await Promise.all(consumers.map((consumer) => consumer.ask({ type: 'tally' }, 'tallied')))).map((tally) => tally.held);
  await world.until('the first three hold everything', async () => (await held()).reduce((sum, n) => sum + n, 0) === streams, 20_000, 50);
  consumers.push(...(await world.spawn(3, { lease })));
  const startedAt = performance.now(); // all three have joined
  const allowedMs = within(world.context, WITHIN_MS);
  const even = (counts: readonly number[]): boolean => counts.reduce((sum, n) => sum + n, 0) === streams && counts.every((n) => Math.abs(n - streams / 6) <= streams / 60);
  let ms: number | null = null;
  await world.until('everybody has a sixth', async () => {
    if (!even(await held())) return false;
    ms = performance.now() - startedAt;
    return true;
  }, allowedMs + 10_000, 50).catch(() => undefined);
  return { ms, held: await held() };
}

/** A burst spreads evenly; joining consumers get their share of what is held when hand-over is on. */
export const fairness: Scenario = {
  name: 'fairness',
  about: 'a burst of 1,000 streams over 10 consumers: 100 +/- 10 each; scale-out 3 -> 6: a sixth +/- 10 % within 5 s',
  takesSeconds: 20,
  run: async (context) => {
    const rounds = context.short ? 1 : 5;
    const spreads: number[][] = [];
    const scaled: Array<{ ms: number | null; held: number[] }> = [];
    const breaches: string[] = [];
    const options = { ttlMs: 3_000, worker: { quiet: true, ledgerPort: undefined } };
    for (let i = 0; i < rounds; i++) {
      const spread = await World.with(context, options, burst);
      spreads.push(spread);
      context.say(`burst of 1,000 over 10: ${spread.join(' ')}`);
      if (spread.some((held) => Math.abs(held - 100) > 10)) breaches.push(`a burst spread as ${spread.join(' ')}`);
      const out = await World.with(context, options, (world) => scaleOut(world, context.short ? 300 : 600));
      scaled.push(out);
      context.say(`scale-out 3 -> 6: ${out.held.join(' ')} after ${out.ms?.toFixed(0) ?? 'never'} ms`);
      const allowedMs = within(context, WITHIN_MS);
      if (out.ms === null || out.ms > allowedMs) breaches.push(`scale-out took ${out.ms?.toFixed(0) ?? 'too many'} ms (allowed ${allowedMs}): ${out.held.join(' ')}`);
    }
    return { verdict: { rounds, burstMin: Math.min(...spreads.flat()), burstMax: Math.max(...spreads.flat()), scaleOutMs: scaled.map(({ ms }) => ms && Math.round(ms)), scaleOutAllowedMs: within(context, WITHIN_MS) }, breaches };
  },
};
