import type { RedisConnection } from '../redis/connection.js';

const EVERY_MS = 30_000;

/** The server's clock as this process sees it, so that ages of messages do not depend on the clocks of hosts. */
export class ServerClock {
  /** To the monotonic clock: that of the host may be set while this runs, and messages would expire by it. */
  private offsetMs = Date.now() - performance.now();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly redis: RedisConnection) {}

  async start(): Promise<void> {
    if (this.timer) return;
    this.timer = setInterval(() => void this.ask(), EVERY_MS).unref();
    await this.ask();
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  /** Server milliseconds, about. */
  now(): number {
    return performance.now() + this.offsetMs;
  }

  private async ask(): Promise<void> {
    try {
      const before = performance.now();
      const [seconds, micros] = (await this.redis.commands.call('TIME', [])) as [string, string];
      const after = performance.now();
      this.offsetMs = Number(seconds) * 1_000 + Number(micros) / 1_000 - (before + after) / 2;
    } catch {
      // What was known is good enough until the next time.
    }
  }
}
