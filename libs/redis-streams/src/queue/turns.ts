import type { HeldMessage } from './held-message.js';
import type { QueueShard } from './shard.js';

/** A message, and where it is from. */
export interface Placed {
  readonly shard: QueueShard;
  readonly held: HeldMessage;
}

/** Messages with which a process has died run one at a time, in all consumers of the process. */
export class Turns {
  private readonly queue = new Set<Placed>();
  private readonly taken = new Map<HeldMessage, { readonly shard: QueueShard; end(): void }>();

  constructor(private readonly alone: () => Promise<() => void>) {}

  /** Those that wait for theirs. */
  waiting(): readonly Placed[] {
    return [...this.queue];
  }

  /** Resolves when it is this one's. */
  async take({ shard, held }: Placed): Promise<void> {
    const waiter = { shard, held };
    this.queue.add(waiter);
    this.taken.set(held, { shard, end: await this.alone() });
    this.queue.delete(waiter);
  }

  end(held: HeldMessage): void {
    this.taken.get(held)?.end();
    this.taken.delete(held);
  }

  /** Those of one shard; default: of all. */
  endAll(shard?: QueueShard): void {
    for (const [held, turn] of this.taken) if (!shard || turn.shard === shard) this.end(held);
  }
}
