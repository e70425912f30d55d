import { Redis } from 'ioredis';
import type { Watched } from '../supervisor/scene.js';
import { CLOCK_KEYS } from './time-clock.js';

const LOOK_MS = 50;
const RATE_MS = 2_000;

/** Reads the time clock again and again. */
export class Tally implements Watched {
  beganAt = 0;
  sent = 0;
  /** Different jobs done. */
  done = 0;
  /** How often each processor did one. */
  by = new Map<string, number>();
  /** When a job was last done for the first time. */
  lastDoneAt = 0;
  private readonly redis: Redis;
  private readonly listeners = new Set<() => void>();
  private history: Array<{ readonly at: number; readonly done: number }> = [];
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();

  constructor(url: string) {
    this.redis = new Redis(url, { maxRetriesPerRequest: null });
    this.redis.on('error', () => undefined);
  }

  /** What earlier runs left on a shared server is not ours to judge. */
  async start(): Promise<void> {
    await this.redis.del(...Object.values(CLOCK_KEYS));
    this.timer = setInterval(() => (this.looking = this.looking.then(() => this.look())), LOOK_MS);
  }

  onMarks(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Jobs a second, of late. */
  get rate(): number {
    const [first] = this.history, last = this.history.at(-1);
    return first && last && last.at > first.at ? ((last.done - first.done) * 1_000) / (last.at - first.at) : 0;
  }

  /** Nothing is written any more. */
  async finish(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
    await this.look();
  }

  /** How often each job was done, by number. */
  async all(): Promise<Map<number, number>> {
    const fields = await this.redis.hgetall(CLOCK_KEYS.done);
    return new Map(Object.entries(fields).map(([n, times]) => [Number(n), Number(times)]));
  }

  close(): void {
    clearInterval(this.timer);
    this.redis.disconnect();
  }

  private async look(): Promise<void> {
    const [began, sent, done, by] = await Promise.all([this.redis.get(CLOCK_KEYS.began), this.redis.get(CLOCK_KEYS.sent), this.redis.hlen(CLOCK_KEYS.done), this.redis.hgetall(CLOCK_KEYS.by)]);
    const at = Date.now();
    this.beganAt = Number(began ?? 0);
    this.sent = Number(sent ?? 0);
    if (done > this.done) this.lastDoneAt = at;
    this.done = done;
    this.by = new Map(Object.entries(by).map(([name, times]) => [name, Number(times)]));
    this.history = [...this.history.filter((then) => then.at > at - RATE_MS), { at, done }];
    for (const listener of this.listeners) listener();
  }
}
