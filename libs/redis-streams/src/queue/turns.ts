import type { HeldMessage } from './held-message.js';
import type { QueueShard } from './shard.js';

/** A message, and where it is from. */
export interface Placed {
  readonly shard: QueueShard;
  readonly held: HeldMessage;
}

/** So long a turn is kept for whom there is no place: who holds the place may wait for somebody who waits for the turn. */
const STAND_MS = 1_000;

/** Messages with which a process has died run one at a time, in all consumers of the process. */
export class Turns {
  private readonly queue = new Set<Placed>();
  private readonly taken = new Map<HeldMessage, { readonly shard: QueueShard; end(): void }>();
  /** Whose turn it is, and for whom there is no place. */
  private standing: Array<Placed & { go(hasPlace: boolean): void }> = [];

  constructor(
    private readonly alone: () => Promise<() => void>,
    /** Reserves one, if there is one. */
    private readonly place: () => boolean,
  ) {}

  /** Those that wait for theirs, or for a place. */
  waiting(): readonly Placed[] {
    return [...this.queue, ...this.standing];
  }

  /**
   * Resolves when it is this one's, and a place reserved for it; false: it is not `wanted` any more. Who waits for the turn
   * takes no place: the one whose turn it is may wait for what would run in it.
   */
  async take({ shard, held }: Placed, wanted: () => boolean): Promise<boolean> {
    const waiter = { shard, held };
    for (;;) {
      this.queue.add(waiter);
      this.taken.set(held, { shard, end: await this.alone() });
      this.queue.delete(waiter);
      if (wanted() && (this.place() || (await this.stand(waiter)))) return true;
      this.end(held);
      if (!wanted()) return false;
    }
  }

  /** There may be a place. */
  advance(): void {
    while (this.standing.length > 0 && this.place()) this.standing.shift()!.go(true);
  }

  /** Nobody gets a place any more. */
  dismiss(): void {
    for (const { go } of this.standing.splice(0)) go(false);
  }

  end(held: HeldMessage): void {
    this.taken.get(held)?.end();
    this.taken.delete(held);
  }

  /** Those of one shard; default: of all. */
  endAll(shard?: QueueShard): void {
    for (const [held, turn] of this.taken) if (!shard || turn.shard === shard) this.end(held);
  }

  private stand(placed: Placed): Promise<boolean> {
    return new Promise((resolve) => {
      const go = (hasPlace: boolean): void => (clearTimeout(patience), resolve(hasPlace));
      const waiter = { ...placed, go };
      const patience = setTimeout(() => {
        this.standing = this.standing.filter((each) => each !== waiter);
        resolve(false);
      }, STAND_MS);
      this.standing.push(waiter);
    });
  }
}
