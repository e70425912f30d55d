import type { RedisStreamsEvents } from '../observability/events.js';
import type { LeaseStore } from './store.js';
import type { ExpiredStream } from './types.js';

const LIMIT = 1_000;

/** With `claim: 'manual'`: tells of each stream whose owner died, once per dead owner's token. */
export class ExpiredWatch {
  private told = new Map<string, number>();
  private looking = false;

  constructor(
    private readonly store: LeaseStore,
    private readonly service: string,
    private readonly tell: (event: ExpiredStream) => void,
    private readonly events: RedisStreamsEvents,
    private readonly claim: (stream: string) => Promise<void>,
  ) {}

  async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    try {
      const rows = await this.store.expired(LIMIT);
      const before = this.told;
      this.told = new Map(rows.map(({ stream, token }) => [stream, token]));
      for (const { stream, entryId, owner: previousOwner, token } of rows) {
        if (before.get(stream) === token) continue;
        const { service } = this;
        this.events.emit('lease.expired', { service, stream, previousOwner, token });
        this.tell({ service, stream, entryId, previousOwner, token, claim: () => this.claim(stream) });
      }
    } finally {
      this.looking = false;
    }
  }
}
