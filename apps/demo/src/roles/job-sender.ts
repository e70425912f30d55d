import { Injectable } from '@nestjs/common';
import { InjectQueue, type QueueProducer } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { type Job, JOBS } from '../jobs/job.js';
import { TimeClock } from '../jobs/time-clock.js';
import { say } from '../ui/lines.js';

const BATCH = 500;
/** Batches that are on their way at once. */
const LANES = 8;

/** Sends all jobs as fast as Redis takes them; each batch's answer is the pace. */
@Injectable()
export class JobSender {
  sent = 0;
  private readonly messages = readConfig().messages;
  private made = 0;
  private stopping = false;
  private running: Promise<unknown> = Promise.resolve();

  constructor(@InjectQueue(JOBS) private readonly jobs: QueueProducer, private readonly clock: TimeClock) {}

  start(): void {
    this.running = this.clock.begin().then(() => Promise.all(Array.from({ length: LANES }, () => this.run()))).catch(fail);
  }

  /** Sends no more; what is on its way is finished. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
  }

  private async run(): Promise<void> {
    while (this.made < this.messages && !this.stopping) {
      const first = this.made + 1, size = Math.min(BATCH, this.messages - this.made);
      this.made += size;
      const batch = Array.from({ length: size }, (_, i): Job => ({ n: first + i }));
      await this.jobs.sendMany(batch.map((data) => ({ data })));
      this.sent += size;
      await this.clock.sent(size);
    }
  }
}

function fail(error: unknown): void {
  say('sender', 'error', '', `a job could not be sent: ${String(error)}`);
  process.exit(1);
}
