import { randomBytes } from 'node:crypto';
import { BackpressureError, ConnectionError } from '../errors/index.js';
import { isOutOfMemory, isTransient } from '../kernel/server-errors.js';
import { announcerKey } from '../keys/lease-keys.js';
import { Batcher } from '../redis/batcher.js';
import type { RedisConnection } from '../redis/connection.js';
import { sleep } from '../redis/sleep.js';
import { LeaseStore } from './store.js';
import type { AnnounceResult } from './types.js';

export interface EncodedAnnouncement {
  readonly stream: string;
  readonly payload: string;
  readonly dedupe: 'queued' | 'open' | 'off';
}

/** How long the server remembers a batch's answers for a resend. */
const KEEP_MS = 600_000;
const GIVE_UP_MS = 15_000;

/**
 * Announcements of one process to one service, batched and in order. A batch whose answer was lost is sent
 * again under its sequence number, which the server recognises, so nothing is announced twice.
 */
export class Announcer {
  private readonly id = randomBytes(8).toString('hex');
  private readonly store: LeaseStore;
  private readonly batcher: Batcher<EncodedAnnouncement, AnnounceResult>;
  private sequence = 0;

  constructor(
    private readonly redis: RedisConnection,
    private readonly service: string,
  ) {
    this.store = new LeaseStore(redis, service);
    this.batcher = new Batcher<EncodedAnnouncement, AnnounceResult>({
      what: `announcer of "${service}"`,
      send: (items) => this.send(items),
      sizeOf: (item) => item.payload.length + item.stream.length,
      maxItems: 256,
      maxBytes: 1_048_576,
      maxPendingItems: 100_000,
      maxPendingBytes: 67_108_864,
    });
  }

  add(item: EncodedAnnouncement): Promise<AnnounceResult> {
    return this.batcher.add(item);
  }

  /** Sends what is waiting, then removes this announcer's key. */
  async close(): Promise<void> {
    await this.batcher.close();
    if (this.sequence > 0) await this.redis.commands.call('DEL', [announcerKey(this.store.keys, this.id)]).catch(() => undefined);
  }

  private async send(items: readonly EncodedAnnouncement[]): Promise<AnnounceResult[]> {
    const sequence = ++this.sequence;
    const until = performance.now() + GIVE_UP_MS;
    for (;;) {
      try {
        const ids = await this.store.announce(this.id, sequence, KEEP_MS, items);
        return ids.map((id) => (id.startsWith('=') ? { status: 'duplicate', id: id.slice(1) } : { status: 'announced', id }));
      } catch (error) {
        // Waiting here would not make room; the caller can slow down, and the person on call can act.
        if (isOutOfMemory(error)) throw new BackpressureError('Redis', (error as Error).message);
        if (!isTransient(error)) throw error;
        if (performance.now() > until) {
          throw new ConnectionError(`announcing to "${this.service}" failed for ${GIVE_UP_MS} ms (${(error as Error).message}); announcing again is safe unless dedupe is off`, error);
        }
        await sleep(100);
      }
    }
  }
}
