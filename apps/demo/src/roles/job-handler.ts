import { Injectable } from '@nestjs/common';
import { type QueueContext, QueueHandler } from 'nestjs-redis-streams';
import { CONCURRENCY, fails, type Job, JOBS, MAX_ATTEMPTS, PREFETCH } from '../jobs/job.js';
import { TimeClock } from '../jobs/time-clock.js';

/** Does jobs: the part of the demo that an application would write. */
@Injectable()
export class JobHandler {
  constructor(private readonly clock: TimeClock) {}

  @QueueHandler({ queue: JOBS, concurrency: CONCURRENCY, prefetch: PREFETCH, retry: { initialMs: 100, maxAttempts: MAX_ATTEMPTS } })
  async work({ n }: Job, { attempt }: QueueContext): Promise<void> {
    if (fails(n, attempt)) throw new Error(`job ${n} fails at attempt ${attempt}`);
    await this.clock.done(n);
  }
}
