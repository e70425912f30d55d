import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CATALOGUE } from './benches/index.js';
import { json, table, verdict } from './report.js';
import { runBench, type BenchResult } from './run.js';

const USAGE = `npm run bench -- NAME [--rounds N] [--json FILE] [--short]
npm run bench -- --list

  --rounds N    rounds per contender (default: the bench's own)
  --json FILE   writes {contenders, ratios, goals}
  --short       a few seconds a bench, for CI: shows that it runs; its few samples, on a machine with other things to do, are
                held to no goal

Exit code 1 when a goal is missed, 2 for wrong usage.`;

function usage(problem: string): never {
  console.error(`${problem}\n\n${USAGE}`);
  process.exit(2);
}

function parse(): { name: string; rounds: number | undefined; file: string | undefined; short: boolean } {
  const options = { rounds: { type: 'string' }, json: { type: 'string' }, list: { type: 'boolean' }, short: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;
  let parsed;
  try {
    parsed = parseArgs({ options, allowPositionals: true });
  } catch (error) {
    return usage((error as Error).message);
  }
  const { values, positionals } = parsed;
  if (values.help || values.list) {
    if (values.help) console.log(`${USAGE}\n`);
    for (const [name, { about }] of CATALOGUE) console.log(`${name.padEnd(20)}${about}`);
    process.exit(0);
  }
  const [name, ...rest] = positionals;
  if (name === undefined || rest.length > 0 || !CATALOGUE.has(name)) usage(`name one of: ${[...CATALOGUE.keys()].join(', ')}`);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) usage('--rounds must be a whole number from 1');
  return { name, rounds, file: values.json, short: values.short === true };
}

const { name, rounds, file, short } = parse();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130)); // the guards end server and workers
const results: BenchResult[] = [];
const suite = CATALOGUE.get(name)!.benches;
for (const bench of suite) {
  if (short && suite.length > 1 && bench.rounds.short === 0) continue;
  const unavailable = bench.unavailable?.();
  if (unavailable !== undefined) {
    console.error(`${bench.name} left out: ${unavailable}`);
    continue;
  }
  const result = await runBench(bench, { short, ...(rounds === undefined ? {} : { rounds }), progress: (line) => console.error(line) });
  console.log(table(result));
  results.push(result);
}
if (file !== undefined) writeFileSync(file, `${json(results, { name, short })}\n`);
const missed = results.flatMap(({ ratios }) => ratios).filter(({ missedBy = 0 }) => !(missedBy <= 1));
for (const ratio of missed) console.error(verdict(ratio));
if (short && missed.length > 0) console.error('a short run is held to no goal');
process.exit(missed.length > 0 && !short ? 1 : 0);
