import { Redis } from 'ioredis';
import { startRedis } from '../../support/redis-server.js';
import { entryOf, type Entry, KEYS, lineOf, type Outcome, RECORD } from './effects.js';

const PAGE = 20_000;

/** The judge's store: a redis-server of its own, which no fault touches. */
export class EffectLedger {
  private readonly read: Entry[] = [];

  private constructor(
    private readonly redis: Redis,
    readonly port: number,
    readonly stop: () => Promise<void>,
  ) {}

  static async start(): Promise<EffectLedger> {
    const server = await startRedis({ label: 'ledger' });
    const redis = new Redis(server.port, '127.0.0.1');
    return new EffectLedger(redis, server.port, async () => {
      redis.disconnect();
      await server.stop();
    });
  }

  /** All so far. One caller at a time. */
  async entries(): Promise<readonly Entry[]> {
    const { read } = this;
    for (;;) {
      const page = await this.redis.lrange('log', read.length, read.length + PAGE - 1);
      for (const line of page) read.push(entryOf(line));
      if (page.length < PAGE) return read;
    }
  }

  length(): Promise<number> {
    return this.redis.llen('log');
  }

  /** Effects that were applied. */
  async effects(): Promise<number> {
    return Number(await this.redis.get('effects'));
  }
}

/** A worker's connection to the ledger. What is written down within one process arrives in that order. */
export class EffectWriter {
  private constructor(
    private readonly redis: Redis,
    private readonly sha: string,
    private readonly by: string,
    private readonly now: () => number,
    private readonly failed: (error: Error) => void,
  ) {}

  static async connect(port: number, by: string, now: () => number, failed: (error: Error) => void): Promise<EffectWriter> {
    // Never sent twice: an answer that is lost would look like a re-run.
    const redis = new Redis({ port, host: '127.0.0.1', retryStrategy: () => null, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 });
    redis.on('error', failed);
    return new EffectWriter(redis, String(await redis.script('LOAD', RECORD)), by, now, failed);
  }

  /** Written to the socket within this call where it takes it, so it counts even if the process is killed right after. */
  async record(entry: Pick<Entry, 'kind' | 'partition' | 'token'> & Partial<Entry>): Promise<string> {
    const line = lineOf({ at: this.now(), by: this.by, key: '-', seq: 0, detail: '-', ...entry });
    return String(await this.redis.evalsha(this.sha, KEYS.length, ...KEYS, ...line));
  }

  /** Nobody waits for it. */
  note(entry: Pick<Entry, 'kind' | 'partition' | 'token'> & Partial<Entry>): void {
    this.record(entry).catch(this.failed);
  }

  async effect(entry: Pick<Entry, 'partition' | 'token' | 'key' | 'seq'>): Promise<Outcome> {
    return (await this.record({ ...entry, kind: 'effect' })) as Outcome;
  }

  async close(): Promise<void> {
    await this.redis.quit().catch(() => undefined);
  }
}
