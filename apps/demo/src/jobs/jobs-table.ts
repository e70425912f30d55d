import { byName, renderGrid, sumOf } from '../ui/grid.js';
import type { JobStage } from './job-stage.js';

/** Who has done how many jobs, by the time clock. */
export function renderJobs(stage: JobStage): string {
  const { tally } = stage;
  const rows = [...stage.fates()].map(([name, state]) => [name, state, String(stage.doneBy(name))]).toSorted(([a = ''], [b = '']) => byName(a, b));
  return renderGrid({ head: ['processor', 'state', 'done'], texts: 2, rows, total: ['all', '', sumOf(rows, 2)], foot: `sent ${tally.sent}, done at least once ${tally.done}` });
}
