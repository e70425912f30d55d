import { Redis } from 'ioredis';
import { LEDGER_FIELD } from './marks.js';

type Reply = Array<[string, Array<[string, string[]]>]> | null;

/** What marks are entered into. */
export interface Book<Mark> {
  /** @param at when the ledger's server got it, in its milliseconds */
  apply(mark: Mark, at: number): void;
}

/** Follows a ledger as it is written, and trims what it has read. */
export class LedgerReader<Mark> {
  private readonly redis: Redis;
  private last = '0-0';
  private closed = false;
  private reading: Promise<void> = Promise.resolve();
  private waiters = new Set<() => void>();

  constructor(url: string, private readonly key: string, private readonly book: Book<Mark>) {
    // RESP2: a stream reply is a list of pairs in every version.
    this.redis = new Redis(url, { protocol: 2, maxRetriesPerRequest: null });
    this.redis.on('error', () => undefined);
  }

  /** What earlier runs left on a shared server is not ours to judge. */
  async start(): Promise<void> {
    await this.redis.del(this.key);
    this.reading = this.follow();
  }

  /** Called after every batch of marks. @returns a function that removes the listener. */
  onMarks(listener: () => void): () => void {
    this.waiters.add(listener);
    return () => void this.waiters.delete(listener);
  }

  /** Reads to the end; nobody writes any more. */
  async finish(): Promise<void> {
    this.closed = true;
    await this.reading;
    while (await this.read(false));
  }

  close(): void {
    this.closed = true;
    this.redis.disconnect();
  }

  private async follow(): Promise<void> {
    while (!this.closed) {
      try {
        await this.read(true);
      } catch {
        if (!this.closed) await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  }

  private async read(block: boolean): Promise<boolean> {
    const reply = (await this.redis.call('XREAD', 'COUNT', 1_000, ...(block ? ['BLOCK', 500] : []), 'STREAMS', this.key, this.last)) as Reply;
    const entries = reply?.[0]?.[1] ?? [];
    for (const [id, fields] of entries) {
      this.last = id;
      const text = fields[fields.indexOf(LEDGER_FIELD) + 1];
      if (text !== undefined) this.book.apply(JSON.parse(text) as Mark, Number.parseInt(id, 10));
    }
    if (entries.length === 0) return false;
    await this.redis.xtrim(this.key, 'MINID', this.last);
    for (const waiter of this.waiters) waiter();
    return true;
  }
}
