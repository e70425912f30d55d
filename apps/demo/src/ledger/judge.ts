import type { Account, Run } from './accounts.js';

export interface Judgement {
  readonly announced: number;
  /** Announcements with an accepted `done()`. */
  readonly completed: number;
  /** Announcements for which `done()` was, or may have been, accepted more than once. */
  readonly completedTwice: number;
  /** Neither completed nor open any more. */
  readonly lost: number;
  /** Still announced in Redis. */
  readonly unfinished: number;
  readonly deadLettered: number;
  readonly problems: readonly string[];
}

/**
 * A run whose owner was killed between calling `done()` and writing down the answer is undecided. Two facts decide it:
 * - An accepted `done()` deletes the lease record in the same script. So when a later run names this owner as its
 *   predecessor, the record was still there, and the `done()` never arrived.
 * - Otherwise, when the announcement has left Redis and is no dead letter, something completed it: this run.
 * What is left, an undecided run beside an accepted one that never heard of it, is counted as completed twice: the
 * doubt goes against us.
 */
export function judge(accounts: Iterable<Account>, open: ReadonlySet<string>, dead: ReadonlySet<string>): Judgement {
  let announced = 0, completed = 0, completedTwice = 0, lost = 0, unfinished = 0, deadLettered = 0;
  const problems: string[] = [];
  const completedStreams = new Set<string>();
  for (const { entry, stream, runs } of accounts) {
    announced++;
    const all = [...runs.values()];
    const accepted = all.filter((run) => run.state === 'accepted').length;
    const undecided = all.filter((run) => run.state === 'finishing' && !disproved(run, all)).length;
    const gone = !open.has(entry);
    if (dead.has(entry)) deadLettered++;
    const mayBe = gone && !dead.has(entry) ? undecided : 0;
    const times = accepted + mayBe;
    if (times > 0) completed++;
    // Every stream is announced once here, so two completed announcements of one are as bad as one completed twice.
    if (times === 1 && completedStreams.has(stream)) {
      completedTwice++;
      problems.push(`${stream} was announced and completed twice`);
    }
    if (times > 0) completedStreams.add(stream);
    if (times > 1) {
      completedTwice++;
      problems.push(`${stream} was completed ${times} times: ${all.map((run) => `${run.owner} ${run.state}`).join(', ')}`);
    }
    if (times > 0 && !gone) problems.push(`${stream} was completed but is still announced`);
    if (times > 0) continue;
    if (!gone) unfinished++;
    else if (!dead.has(entry)) {
      lost++;
      problems.push(`${stream} is gone without having been completed`);
    }
  }
  return { announced, completed, completedTwice, lost: lost + deadLettered, unfinished, deadLettered, problems };
}

function disproved(run: Run, all: readonly Run[]): boolean {
  return all.some((later) => later.token > run.token && later.from === run.owner);
}
