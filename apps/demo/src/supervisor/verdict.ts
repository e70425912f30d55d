import { writeFileSync } from 'node:fs';
import type { Judgement } from '../ledger/judge.js';
import { bold, green, red } from '../ui/colors.js';
import { figuresByConsumer } from './figures.js';
import type { Kept, Stage } from './stage.js';
import { takeovers } from './takeovers.js';

/** What every run promises, whatever else it shows. */
export function common(found: Judgement, surprises: readonly string[], mayLeaveOpen: boolean): Kept[] {
  const { announced, completed, completedTwice, lost, unfinished } = found;
  return [
    { promise: `every announced stream was completed exactly once (${completed} of ${announced}${completedTwice > 0 ? `, ${completedTwice} twice` : ''})`,
      ok: announced > 0 && completedTwice === 0 && (completed === announced || (mayLeaveOpen && completed + unfinished === announced)) },
    { promise: `nothing was lost (${lost}) and nothing is left over (${unfinished})`, ok: lost === 0 && (mayLeaveOpen || unfinished === 0) },
    { promise: surprises.length === 0 ? 'every process ended as it should' : `every process ended as it should (${surprises.join('; ')})`, ok: surprises.length === 0 },
  ];
}

export interface Verdict {
  readonly scenario: string;
  readonly found: Judgement;
  readonly promises: readonly Kept[];
  readonly interrupted: boolean;
}

export function printVerdict({ scenario, found, promises, interrupted }: Verdict): void {
  const broken = promises.filter(({ ok }) => !ok).length;
  const lines = promises.map(({ ok, promise }) => `  ${ok ? green('kept  ') : red('BROKEN')}  ${promise}`);
  for (const problem of found.problems.slice(0, 20)) lines.push(`          ${red(problem)}`);
  const end = interrupted ? 'interrupted' : broken === 0 ? green(`all ${promises.length} promises kept`) : red(`${broken} of ${promises.length} promises broken`);
  process.stdout.write(`\n  ${bold(scenario)}\n${lines.join('\n')}\n\n  ${bold('Verdict:')} ${end}\n\n`);
}

export function writeSummary(file: string, stage: Stage, { scenario, found, promises, interrupted }: Verdict): void {
  const { problems, ...counters } = found;
  const perConsumer = Object.fromEntries([...figuresByConsumer(stage.ledger.accounts, 0)].toSorted(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
    .map(([name, { completed, meanMs, p95Ms }]) => [name, { completed, meanMs, p95Ms }]));
  const summary = {
    scenario,
    ok: !interrupted && promises.every(({ ok }) => ok),
    server: stage.server.kind,
    seconds: Math.round(stage.elapsedMs / 100) / 10,
    ...counters,
    takeovers: takeovers(stage.ledger.accounts, stage.faults),
    disowned: [...stage.ledger.accounts.runs()].filter(({ run }) => run.disowned).length,
    perConsumer,
    broken: promises.filter(({ ok }) => !ok).map(({ promise }) => promise),
    problems,
  };
  writeFileSync(file, `${JSON.stringify(summary, null, 2)}\n`);
}
