import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Redis } from 'ioredis';
import { readConfig } from '../config.js';

/** What senders and processors have done, on a server besides the one that carries the jobs. */
export const CLOCK_KEYS = {
  /** STRING when the first job was sent, in milliseconds. */
  began: 'jobs:began',
  /** STRING jobs that Redis had answered for. */
  sent: 'jobs:sent',
  /** HASH number of a job -> how often it was done. */
  done: 'jobs:done',
  /** HASH processor -> how often it did a job. */
  by: 'jobs:by',
} as const;

const MARK = `
  for i = 2, #ARGV do redis.call('HINCRBY', KEYS[1], ARGV[i], 1) end
  redis.call('HINCRBY', KEYS[2], ARGV[1], #ARGV - 1)
`;

interface Clock extends Redis {
  mark(done: string, by: string, ...args: Array<string | number>): Promise<null>;
}

/** The time clock that processors stamp their jobs at: what was stamped was done, whatever becomes of the processor. */
@Injectable()
export class TimeClock implements OnApplicationShutdown {
  private readonly redis = connect(readConfig().bankUrl);
  private readonly me = readConfig().name ?? 'nobody';
  private waiting: number[] = [];
  private stamping: Promise<unknown> | undefined;

  /** Resolves when it is stamped; jobs of one turn of the event loop go together. */
  async done(n: number): Promise<void> {
    this.waiting.push(n);
    this.stamping ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      const numbers = this.waiting;
      this.waiting = [];
      this.stamping = undefined;
      return this.redis.mark(CLOCK_KEYS.done, CLOCK_KEYS.by, this.me, ...numbers);
    });
    await this.stamping;
  }

  async begin(): Promise<void> {
    await this.redis.set(CLOCK_KEYS.began, Date.now());
  }

  async sent(jobs: number): Promise<void> {
    await this.redis.incrby(CLOCK_KEYS.sent, jobs);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.redis.quit().catch(() => this.redis.disconnect());
  }
}

function connect(url: string | undefined): Clock {
  if (url === undefined) throw new Error('a time clock is needed: npm run demo -- --scenario queue starts one, with the processors');
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  redis.on('error', () => undefined);
  redis.defineCommand('mark', { numberOfKeys: 2, lua: MARK });
  return redis as Clock;
}
