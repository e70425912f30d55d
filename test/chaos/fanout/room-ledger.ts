import { Redis } from 'ioredis';
import { startRedis } from '../../support/redis-server.js';
import { type Entry, entryOf, lineOf, type Note, RECORD } from './record.js';

const PAGE = 20_000;
/** Lines in one call; the stack of a script's call is bounded. */
const MOST = 500;

/** The judge's store: a redis-server of its own, which no fault touches. */
export class RoomLedger {
  private constructor(
    private readonly redis: Redis,
    readonly port: number,
    readonly stop: () => Promise<void>,
  ) {}

  static async start(): Promise<RoomLedger> {
    const server = await startRedis({ label: 'ledger' });
    const redis = new Redis(server.port, '127.0.0.1');
    return new RoomLedger(redis, server.port, async () => {
      redis.disconnect();
      await server.stop();
    });
  }

  async entries(): Promise<Entry[]> {
    const read: Entry[] = [];
    for (;;) {
      const page = await this.redis.lrange('log', read.length, read.length + PAGE - 1);
      for (const line of page) read.push(entryOf(line));
      if (page.length < PAGE) return read;
    }
  }
}

/** A worker's connection to the ledger: what is written down in one turn goes in one call, and all of it in order. */
export class RoomLedgerWriter {
  private lines: string[] = [];
  private flushing: Promise<void> | undefined;

  private constructor(
    private readonly redis: Redis,
    private readonly sha: string,
    private readonly failed: (error: Error) => void,
  ) {}

  static async connect(port: number, failed: (error: Error) => void): Promise<RoomLedgerWriter> {
    // Never sent twice: an answer that is lost would look like a message shown twice.
    const redis = new Redis({ port, host: '127.0.0.1', retryStrategy: () => null, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    redis.on('error', failed);
    return new RoomLedgerWriter(redis, String(await redis.script('LOAD', RECORD)), failed);
  }

  /** Resolves when the ledger has it; never rejects. */
  note(note: Note): Promise<void> {
    this.lines.push(lineOf(note));
    return (this.flushing ??= this.flush());
  }

  async close(): Promise<void> {
    await this.flushing;
    await this.redis.quit().catch(() => undefined);
  }

  private async flush(): Promise<void> {
    await Promise.resolve();
    const { lines } = this;
    this.lines = [];
    this.flushing = undefined;
    const calls: Promise<unknown>[] = [];
    for (let i = 0; i < lines.length; i += MOST) calls.push(this.redis.evalsha(this.sha, 1, 'log', ...lines.slice(i, i + MOST)));
    await Promise.all(calls).catch(this.failed);
  }
}
