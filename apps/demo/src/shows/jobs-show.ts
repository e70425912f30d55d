import { RedisStreamsEngine } from 'nestjs-redis-streams';
import { flakyAmong, JOBS, MAX_ATTEMPTS, PREFETCH, SHARDS } from '../jobs/job.js';
import { JobStage } from '../jobs/job-stage.js';
import { renderJobs } from '../jobs/jobs-table.js';
import { judge, type Judgement } from '../jobs/judge.js';
import { Progress } from '../jobs/progress.js';
import { Tally } from '../jobs/tally.js';
import type { JobScenario } from '../scenarios/scenario.js';
import type { DemoServer } from '../server/server.js';
import type { Kept, Setting } from '../supervisor/scene.js';
import { sweep } from '../supervisor/sweep.js';
import { endedWell, type Verdict } from '../supervisor/verdict.js';
import { count, say, seconds } from '../ui/lines.js';
import type { Show } from './show.js';

const PAGE = 1_000;

/** Jobs through a queue, done by processors and stamped at a time clock. */
export class JobsShow implements Show {
  readonly producer = 'sender';
  readonly consumer = 'processor';
  readonly noun = 'job';
  readonly drainMs = 20_000;
  readonly scene: JobStage;
  private readonly tally: Tally;
  private readonly progress: Progress;
  private readonly engine: RedisStreamsEngine;
  private readonly queue;
  private interrupted = false;

  constructor(setting: Setting, private readonly scenario: JobScenario, private readonly clock: DemoServer) {
    const { server, service, options } = setting;
    this.tally = new Tally(clock.url);
    this.progress = new Progress(this.tally, options.messages);
    this.scene = new JobStage(setting, this.tally, clock.url);
    // Without Nest, and after all other processes have ended.
    this.engine = new RedisStreamsEngine({ connection: { url: server.url } });
    this.queue = { namespace: service, queue: JOBS };
  }

  async follow(): Promise<void> {
    say('demo', 'clock', '', this.clock.about);
    await this.tally.start();
  }

  async open(): Promise<void> {
    const { scene, scenario } = this;
    const { consumers, messages, ttlMs } = scene.options;
    say('demo', scenario.name, '', scenario.about);
    say('demo', 'jobs', '', `${messages.toLocaleString('en')} over ${SHARDS} shards, ${count(consumers, 'processor')} that hold ${PREFETCH} at most, session ttl ${seconds(ttlMs)}`);
    await Promise.all(Array.from({ length: consumers }, (_, i) => scene.startProcessor(`p${i + 1}`)));
    await scene.startSender();
    this.progress.start();
  }

  play(): Promise<void> {
    return this.scenario.play(this.scene);
  }

  async left(): Promise<number> {
    const { waiting, pending, delayed } = await this.engine.queues().stats(this.queue);
    return Math.max(0, waiting) + pending + delayed;
  }

  async finish(): Promise<void> {
    this.progress.stop();
    await this.tally.finish();
    this.progress.show();
  }

  async table(): Promise<string> {
    return renderJobs(this.scene);
  }

  async judge(interrupted: boolean): Promise<Verdict> {
    const { scene, scenario, tally } = this;
    this.interrupted = interrupted;
    const [open, dead, done] = await Promise.all([this.left(), this.deadLetters(), tally.all()]);
    const found = judge({ sent: tally.sent, done, dead, open, ms: tally.lastDoneAt - tally.beganAt });
    return {
      scenario: scenario.name,
      promises: [...scene.promises, ...this.common(found, open), endedWell(scene.cast.surprises)],
      interrupted,
      figures: { ...found.figures, open },
      problems: found.problems,
      closing: { ...found.figures },
    };
  }

  sweep(): Promise<void> {
    return sweep(this.scene.server.url, `{queue:${this.scene.service}:*`);
  }

  async close(): Promise<void> {
    this.progress.stop();
    this.tally.close();
    await this.engine.stop();
    await this.clock.close();
  }

  /** Numbers of the jobs that were given up. */
  private async deadLetters(): Promise<number[]> {
    const source = { kind: 'queue', ...this.queue } as const;
    const found: number[] = [];
    let after: string | undefined;
    do {
      const page = await this.engine.deadLetters().list(source, { limit: PAGE, ...(after !== undefined && { after }) });
      found.push(...page.letters.map(({ data }) => (data as { n: number }).n));
      after = page.next;
    } while (after !== undefined);
    return found;
  }

  /** What every run promises of its jobs, whatever else it shows. */
  private common({ figures, wronglyGivenUp }: Judgement, open: number): Kept[] {
    const { sent, processed, lost, duplicates, deadLetters } = figures;
    const { killed, options: { messages } } = this.scene;
    const bound = killed * PREFETCH, flaky = flakyAmong(sent), whole = !this.interrupted;
    return [
      { promise: `every job was sent (${sent} of ${messages})`, ok: !whole || sent === messages },
      { promise: `every job sent was done or given up (${processed} + ${deadLetters} of ${sent}): none was lost (${lost}) and none is left over (${open})`, ok: lost === 0 && (!whole || open === 0) },
      { promise: `jobs were done again only where a processor had been killed: ${duplicates}, at most the ${PREFETCH} it held (${bound})`, ok: duplicates <= bound },
      { promise: `the job that fails for ever was given up after ${MAX_ATTEMPTS} attempts, and no other (${deadLetters}); ${count(flaky, 'job')} that failed at first ${flaky === 1 ? 'was' : 'were'} done`, ok: wronglyGivenUp === 0 && (whole ? deadLetters === 1 : deadLetters <= 1) },
    ];
  }
}
