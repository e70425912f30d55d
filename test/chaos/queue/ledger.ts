import { Redis } from 'ioredis';
import { startRedis } from '../../support/redis-server.js';

const PAGE = 20_000;

/**
 * The judge's store: a redis-server of its own, which no fault touches. Its lines:
 *
 *   S producer ranges             these sends resolved
 *   F producer code sure ranges   these were rejected; sure: `1` when that says that nothing was stored
 *   R consumer session at p n id  a handler began
 *   E p n                         a handler had its effect; it returns only when the ledger has this
 *   A session p n                 the library said that the message is acknowledged for good
 *   J|X|L session consumer        a session was joined, was lost, was left
 */
export class QueueLedger {
  private read = 0;

  private constructor(
    private readonly redis: Redis,
    readonly port: number,
    readonly stop: () => Promise<void>,
  ) {}

  static async start(): Promise<QueueLedger> {
    const server = await startRedis({ label: 'ledger' });
    const redis = new Redis(server.port, '127.0.0.1');
    return new QueueLedger(redis, server.port, async () => {
      redis.disconnect();
      await server.stop();
    });
  }

  /** Lines since the last call. One caller at a time. */
  async fresh(): Promise<string[]> {
    const lines: string[] = [];
    for (;;) {
      const page = await this.redis.lrange('log', this.read, this.read + PAGE - 1);
      this.read += page.length;
      for (const line of page) lines.push(line);
      if (page.length < PAGE) return lines;
    }
  }
}

/** A worker's connection to the ledger. What is written down within one process arrives in that order. */
export class LedgerWriter {
  private lines: string[] = [];
  private written: Promise<void> | undefined;

  private constructor(private readonly redis: Redis, private readonly failed: (error: Error) => void) {}

  static async connect(port: number, failed: (error: Error) => void): Promise<LedgerWriter> {
    // Never sent twice: an answer that is lost would look like a re-run.
    const redis = new Redis({ port, host: '127.0.0.1', retryStrategy: () => null, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    redis.on('error', failed);
    await redis.ping();
    return new LedgerWriter(redis, failed);
  }

  /** Resolves when the ledger has it; lines of one turn go together. */
  note(...line: ReadonlyArray<string | number>): Promise<void> {
    this.lines.push(line.join(' '));
    return (this.written ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.flush()));
  }

  async close(): Promise<void> {
    while (this.written) await this.written;
    await this.redis.quit().catch(() => undefined);
  }

  private async flush(): Promise<void> {
    const { lines } = this;
    this.lines = [];
    this.written = undefined;
    try {
      await this.redis.rpush('log', ...lines);
    } catch (error) {
      this.failed(error as Error);
      throw error;
    }
  }
}
