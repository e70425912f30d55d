import { randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createRng } from '../support/seed.js';
import { inLanes } from './lanes.js';
import type { Outcome, Result, Scenario } from './scenario.js';
import { scenarios } from './scenarios/index.js';

const USAGE = `npm run chaos -- NAME... [--seconds N] [--seed S] [--json FILE] [--topology standalone|cluster] [--short] [--parallel N]

Runs the library's real processes against real servers and breaks them on purpose. Prints its seed first, then a
line per fault, then the verdict as JSON. Exits 1 when a promise was broken, 2 when it could not run.

  all                everything below, one after another
${scenarios.map(({ name, about, takesSeconds }) => `  ${name.padEnd(18)} ${about} (about ${takesSeconds} s)`).join('\n')}

  --short            5 to 20 s each: what runs before every merge
  --seconds N        how long faults go on, where that is a matter of time
  --seed S           repeats a run's draws
  --json FILE        writes the verdict there too
  --topology T       standalone (default) or cluster: three masters
  --parallel N       so many scenarios at a time, each in a process of its own; what one prints stays together`;

async function play(scenario: Scenario, seed: number, topology: 'standalone' | 'cluster', short: boolean, seconds: number | undefined): Promise<Result> {
  const startedAt = performance.now();
  const say = (line: string): void => console.log(`${((performance.now() - startedAt) / 1_000).toFixed(2).padStart(8)} s  ${line}`);
  console.log(`seed ${seed}  scenario ${scenario.name}  topology ${topology}${short ? '  short' : ''}`);
  let outcome: Outcome;
  try {
    outcome = await scenario.run({ seed, rng: createRng(seed), short, seconds, topology, say });
  } catch (error) {
    outcome = { verdict: {}, breaches: [error instanceof Error ? (error.stack ?? error.message) : String(error)] };
  }
  const result = { scenario: scenario.name, seed, topology, ok: outcome.breaches.length === 0, durationMs: Math.round(performance.now() - startedAt), ...outcome };
  console.log(JSON.stringify(result, null, 2));
  return result;
}

async function main(): Promise<number> {
  const { values, positionals: names } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string' }, seed: { type: 'string' }, json: { type: 'string' }, topology: { type: 'string', default: 'standalone' }, parallel: { type: 'string', default: '1' },
      short: { type: 'boolean', default: false }, help: { type: 'boolean', default: false },
    },
  });
  const chosen = names.includes('all') ? scenarios : scenarios.filter(({ name }) => names.includes(name));
  const unknown = names.filter((name) => name !== 'all' && !scenarios.some((scenario) => scenario.name === name));
  const { topology, short } = values;
  const parallel = Number(values.parallel);
  const seconds = values.seconds === undefined ? undefined : Number(values.seconds);
  const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
  if (values.help || chosen.length === 0 || unknown.length > 0 || (topology !== 'standalone' && topology !== 'cluster') || Number.isNaN(seconds) || !Number.isInteger(seed) || !(parallel >= 1)) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  const results: Result[] = [];
  if (parallel > 1 && chosen.length > 1) {
    results.push(...(await inLanes(chosen.map(({ name }) => name), parallel, { seed, topology, short, seconds })));
  } else {
    for (const scenario of chosen) results.push(await play(scenario, seed, topology, short, seconds));
  }
  // To the lane that started this process.
  if (process.send) await new Promise<void>((resolve) => process.send!(results, () => resolve()));
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results.length === 1 ? results[0] : results, null, 2)}\n`);
  const broken = results.filter(({ ok }) => !ok);
  if (chosen.length > 1) console.log(broken.length === 0 ? `all ${results.length} scenarios held` : `broken: ${broken.map((result) => result.scenario).join(', ')}`);
  return broken.length === 0 ? 0 : 1;
}

// What a scenario that failed half-way left running ends here; its servers and workers end with this process.
process.exit(await main());
