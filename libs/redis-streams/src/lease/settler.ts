import { isTransient } from '../kernel/server-errors.js';
import { Batcher } from '../redis/batcher.js';
import { sleep } from '../redis/sleep.js';
import type { LeaseStore, SettleItem, SettleStatus } from './store.js';

/**
 * Settle operations of one session, in order, batched. A batch is sent until it is answered or the session is
 * over; its sequence number lets the server recognise a batch whose answer was lost, so a `done` that was
 * applied is never reported as refused.
 */
export class Settler {
  private sequence = 0;
  private readonly batcher: Batcher<SettleItem, SettleStatus>;

  constructor(
    private readonly store: LeaseStore,
    readonly session: string,
    readonly isLive: () => boolean,
    private readonly onRefused: () => void,
  ) {
    this.batcher = new Batcher<SettleItem, SettleStatus>({
      what: `settle queue of ${session}`,
      send: (items) => this.send(items),
      sizeOf: (item) => item.stream.length + item.a.length + item.b.length + 40,
      maxItems: 256,
      maxBytes: 1_048_576,
      maxPendingItems: 1_000_000,
      maxPendingBytes: 268_435_456,
    });
  }

  settle(item: SettleItem): Promise<SettleStatus> {
    return this.batcher.add(item);
  }

  flush(): Promise<void> {
    return this.batcher.flush();
  }

  private async send(items: readonly SettleItem[]): Promise<ReadonlyArray<SettleStatus>> {
    const sequence = ++this.sequence;
    for (;;) {
      // Checked before every try: a process past its deadline must not even ask. It ends the whole session, so that
      // handlers learn that the session was lost, and not that one stream was taken.
      if (!this.isLive()) {
        this.onRefused();
        return items.map(() => 'FENCED' as const);
      }
      try {
        const statuses = await this.store.settle(this.session, sequence, items);
        if (statuses) return statuses;
        this.onRefused();
        return items.map(() => 'FENCED' as const);
      } catch (error) {
        if (!isTransient(error)) throw error;
        await sleep(100);
      }
    }
  }
}
