import type { JobStage } from '../jobs/job-stage.js';
import { say } from '../ui/lines.js';
import type { JobScenario } from './scenario.js';

const FEWEST = 2;
const KILL_AT = 0.4;
const WORK_WITHIN_MS = 30_000;
/** Nobody needs so long for a message. */
const STUCK_AFTER_MS = 20_000;

export const queue: JobScenario = {
  kind: 'jobs',
  name: 'queue',
  about: 'many small jobs through a queue of four shards: a processor is killed midway and replaced; some jobs fail at first, one for ever',
  defaults: (server) => ({ consumers: FEWEST, messages: server === 'embedded' ? 2_000 : 200_000, ttlMs: 2_000, quiet: true }),
  async play(stage) {
    const { consumers, messages } = stage.options;
    if (consumers < FEWEST) throw new Error(`the scenario queue needs --consumers ${FEWEST} or more (got ${consumers})`);
    await moving(stage, () => stage.tally.done >= messages * KILL_AT);
    const before = stage.doneBy('p1');
    const working = await stage.until(() => stage.doneBy('p1') > before || stage.tally.done >= messages * (KILL_AT + 0.2), WORK_WITHIN_MS);
    stage.promise('p1 was doing jobs when its turn came, and others were left', working && stage.tally.done < messages - 1);
    stage.kill('p1');
    const successor = `p${consumers + 1}`;
    say('demo', 'adding', successor, 'in its place');
    await stage.startProcessor(successor);
    // All but the one that is given up.
    const all = await moving(stage, () => stage.tally.sent === messages && stage.tally.done >= messages - 1);
    stage.promise(`all that p1 held and all that was left was done by the others (${stage.tally.done} of ${messages} jobs, one fails for ever)`, all);
  },
};

/** Waits as long as jobs are done. @returns whether it came true */
async function moving(stage: JobStage, condition: () => boolean): Promise<boolean> {
  let done = -1, at = Date.now();
  let came = false;
  await stage.until(() => {
    if (stage.tally.done !== done) [done, at] = [stage.tally.done, Date.now()];
    came = condition();
    return came || Date.now() - at > STUCK_AFTER_MS;
  }, Number.MAX_SAFE_INTEGER);
  return came;
}
