import { writeFileSync } from 'node:fs';
import { bold, green, red } from '../ui/colors.js';
import type { Kept, Scene } from './scene.js';

export interface Verdict {
  readonly scenario: string;
  readonly promises: readonly Kept[];
  readonly interrupted: boolean;
  /** What the summary says besides. */
  readonly figures: Readonly<Record<string, unknown>>;
  readonly problems: readonly string[];
  /** Printed last, as one line of JSON. */
  readonly closing?: Readonly<Record<string, unknown>>;
}

/** What every run promises of its processes. */
export function endedWell(surprises: readonly string[]): Kept {
  return { promise: surprises.length === 0 ? 'every process ended as it should' : `every process ended as it should (${surprises.join('; ')})`, ok: surprises.length === 0 };
}

export function printVerdict({ scenario, promises, interrupted, problems, closing }: Verdict): void {
  const broken = promises.filter(({ ok }) => !ok).length;
  const lines = promises.map(({ ok, promise }) => `  ${ok ? green('kept  ') : red('BROKEN')}  ${promise}`);
  for (const problem of problems.slice(0, 20)) lines.push(`          ${red(problem)}`);
  const end = interrupted ? 'interrupted' : broken === 0 ? green(`all ${promises.length} promises kept`) : red(`${broken} of ${promises.length} promises broken`);
  process.stdout.write(`\n  ${bold(scenario)}\n${lines.join('\n')}\n\n  ${bold('Verdict:')} ${end}\n\n`);
  if (closing) process.stdout.write(`${JSON.stringify(closing)}\n`);
}

export function writeSummary(file: string, scene: Scene, { scenario, promises, interrupted, figures, problems }: Verdict): void {
  const summary = {
    scenario,
    ok: !interrupted && promises.every(({ ok }) => ok),
    server: scene.server.kind,
    seconds: Math.round(scene.elapsedMs / 100) / 10,
    ...figures,
    broken: promises.filter(({ ok }) => !ok).map(({ promise }) => promise),
    problems,
  };
  writeFileSync(file, `${JSON.stringify(summary, null, 2)}\n`);
}
