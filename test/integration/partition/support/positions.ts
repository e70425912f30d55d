import { expect } from 'vitest';
import { redisCommands, type Reply } from '../../../support/redis-command.js';
import { waitUntil } from '../../../support/wait.js';
import type { PartitionContext, SentMessage } from './engine.js';
import { partitionKey } from './keys.js';
import type { World } from './world.js';

/** What Redis's own XINFO says about a group, together with the size of the stream at that moment. */
export interface Shown { readonly position: string; readonly entriesRead: number | null; readonly lag: number | null; readonly added: number; readonly length: number }

export function isAfter(a: string, b: string): boolean {
  const [a1 = 0n, a2 = 0n] = a.split('-').map(BigInt);
  const [b1 = 0n, b2 = 0n] = b.split('-').map(BigInt);
  return a1 > b1 || (a1 === b1 && a2 > b2);
}

const fields = (flat: Reply[]): Map<Reply, Reply> => new Map(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!]));

/** Stream and group looked at in one moment. */
export async function shown(world: World, stream: string, partition: number, group = 'group', shards?: number): Promise<Shown> {
  const key = partitionKey(world, stream, partition, shards);
  const replies = await redisCommands((await world.serverOf(key)).port, [['MULTI'], ['XINFO', 'STREAM', key], ['XINFO', 'GROUPS', key], ['EXEC']]);
  const [info, groups] = replies[3] as [Reply[], Reply[][]];
  const about = fields(info);
  const row = groups.map(fields).find((candidate) => candidate.get('name') === group);
  if (!row) throw new Error(`group ${group} is not known to partition ${partition}`);
  return {
    position: String(row.get('last-delivered-id')), entriesRead: row.get('entries-read') as number | null, lag: row.get('lag') as number | null,
    added: Number(about.get('entries-added')), length: Number(about.get('length')),
  };
}

/** What was sent and what was finished, kept apart from Redis: from it follows what a group's position has to be. */
export class Ledger {
  private readonly sent = new Map<number, string[]>();
  private readonly finished = new Set<string>();
  private readonly from = new Map<number, string>();

  constructor(private readonly world: World, private readonly stream: string, private readonly partitions: number, private readonly group = 'group') {}

  note(sent: readonly SentMessage[]): void {
    for (const { partition, id } of sent) {
      const ids = this.sent.get(partition) ?? [];
      this.sent.set(partition, ids);
      ids.push(id);
    }
  }

  ids(partition: number): readonly string[] { return this.sent.get(partition) ?? []; }

  /** It runs: whatever was known of it before does not count any more. */
  began({ partition, id }: PartitionContext): void { this.finished.delete(`${partition}/${id}`); }

  done({ partition, id }: PartitionContext): void { this.finished.add(`${partition}/${id}`); }

  /** From here on all after this id is to be handled (again). */
  sought(partition: number, after: string): void {
    this.from.set(partition, after);
    for (const id of this.ids(partition)) if (isAfter(id, after)) this.finished.delete(`${partition}/${id}`);
  }

  /** The position that is due now. */
  position(partition: number): string {
    let position = this.from.get(partition) ?? '0-0';
    for (const id of this.ids(partition)) {
      if (!isAfter(id, position)) continue;
      if (!this.finished.has(`${partition}/${id}`)) break;
      position = id;
    }
    return position;
  }

  /** Messages up to and with an id. */
  upTo(partition: number, id: string): number { return this.ids(partition).filter((each) => !isAfter(each, id)).length; }

  /** Waits until every position is what it has to be; then count and lag must be right, for Redis's tools and for ours. */
  async agrees(what: string): Promise<void> {
    for (let partition = 0; partition < this.partitions; partition++) {
      if (this.ids(partition).length === 0) continue;
      const seen = await waitUntil(async () => {
        const now = await shown(this.world, this.stream, partition, this.group);
        const due = this.position(partition);
        if (now.position !== due) throw new Error(`partition ${partition} stands at ${now.position} (${this.upTo(partition, now.position)} messages), due is ${due} (${this.upTo(partition, due)} of ${this.ids(partition).length})`);
        return now;
      }, { what: `${what}: the position is what was finished`, timeoutMs: 8_000 });
      const read = this.upTo(partition, seen.position);
      expect({ what, partition, entriesRead: seen.entriesRead, lag: seen.lag, added: seen.added })
        .toEqual({ what, partition, entriesRead: read, lag: this.ids(partition).length - read, added: this.ids(partition).length });
    }
    const told = await this.world.client.lag({ stream: this.stream, group: this.group });
    for (const { partition, position, lag } of told) {
      if (this.ids(partition).length === 0) continue;
      expect({ what, partition, position, lag }).toEqual({ what, partition, position: this.position(partition), lag: this.ids(partition).length - this.upTo(partition, this.position(partition)) });
    }
  }
}

/** Holds every message until the test lets it go. */
export class Valve {
  private readonly waiting: Array<{ readonly context: PartitionContext; release(): void }> = [];

  constructor(private readonly ledger: Ledger) {}

  get size(): number { return this.waiting.length; }

  readonly handler = async (_: unknown, context: PartitionContext): Promise<void> => {
    this.ledger.began(context);
    await new Promise<void>((resolve, reject) => {
      const held = {
        context,
        release: () => {
          this.waiting.splice(this.waiting.indexOf(held), 1);
          this.ledger.done(context);
          resolve();
        },
      };
      this.waiting.push(held);
      context.signal.addEventListener('abort', () => {
        const at = this.waiting.indexOf(held);
        if (at >= 0) this.waiting.splice(at, 1);
        reject(context.signal.reason as Error);
      });
    });
  };

  /** Lets the one go that `pick` points at. */
  release(pick: (count: number) => number): void {
    this.waiting[pick(this.waiting.length)]?.release();
  }

  releaseAll(): void { while (this.waiting.length > 0) this.waiting[0]!.release(); }
}
