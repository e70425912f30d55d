import { isTransient } from '../kernel/server-errors.js';
import { Batcher } from '../redis/batcher.js';
import type { RedisConnection } from '../redis/connection.js';
import { sleep } from '../redis/sleep.js';

const MAX_ITEMS = 256;
const MAX_BYTES = 1_048_576;
const MAX_PENDING = 100_000;
const MAX_PENDING_BYTES = 67_108_864;
const RETRY_MS = 100;
/** Beyond, those without anything to send are forgotten. */
const MAX_IDLE = 1_000;

/** Whose reply it is. */
interface Asked {
  /** Whoever asked is gone. */
  cancel(): void;
}

interface Item {
  readonly reply: string;
  readonly asked: Asked;
}

/**
 * Replies on their way to the streams of their clients. What is to go to one client while a batch is under way is the next
 * batch, and a batch is one entry. A stream that is gone is not made again: its client is.
 */
export class ReplyWriter {
  private readonly batchers = new Map<string, Batcher<Item, boolean>>();

  constructor(
    private readonly redis: RedisConnection,
    /** A reply that cannot be stored for so long is given up. */
    private readonly patienceMs: number,
  ) {}

  /** Resolves when Redis has the reply; false: whoever asked is gone. @throws what Redis says, after `patienceMs` */
  write(replies: string, reply: string, asked: Asked): Promise<boolean> {
    let batcher = this.batchers.get(replies);
    if (!batcher) {
      if (this.batchers.size >= MAX_IDLE) this.tidy();
      batcher = new Batcher<Item, boolean>({
        what: 'replies', maxItems: MAX_ITEMS, maxBytes: MAX_BYTES, maxPendingItems: MAX_PENDING, maxPendingBytes: MAX_PENDING_BYTES,
        sizeOf: (item) => item.reply.length,
        send: (items) => this.send(replies, items),
      });
      this.batchers.set(replies, batcher);
    }
    return batcher.add({ reply, asked });
  }

  /** Resolves when everything written so far has settled. */
  async flush(): Promise<void> {
    await Promise.all([...this.batchers.values()].map((batcher) => batcher.flush()));
  }

  private tidy(): void {
    for (const [replies, batcher] of this.batchers) if (batcher.isIdle) this.batchers.delete(replies);
  }

  /** Sent again after an answer that was lost, a reply stands there twice: its number tells. */
  private async send(replies: string, items: readonly Item[]): Promise<boolean[]> {
    const until = performance.now() + this.patienceMs;
    let text = '';
    for (const { reply } of items) text += text === '' ? `[${reply}` : `,${reply}`;
    text += ']';
    for (;;) {
      try {
        const id = await this.redis.commands.call('XADD', [replies, 'NOMKSTREAM', '*', 'data', text]);
        if (id === null) for (const { asked } of items) asked.cancel();
        return items.map(() => id !== null);
      } catch (error) {
        if (!isTransient(error) || performance.now() > until) throw error;
        await sleep(RETRY_MS);
      }
    }
  }
}
