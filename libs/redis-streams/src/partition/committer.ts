import { FencedError } from '../errors/index.js';
import { isTransient } from '../kernel/server-errors.js';
import { sleep } from '../redis/sleep.js';
import type { OwnedPartition } from './owned-partition.js';
import type { CommitAnswer, CommitItem, PartitionStore } from './partition-store.js';

/** Commits of a busy shard follow each other at this distance, unless somebody waits for one or read ahead runs out. */
const GAP_MS = 10;
const RETRY_MS = 100;
const MOST = 128;

export interface CommitterHost {
  isLive(): boolean;
  committed(partition: OwnedPartition, item: CommitItem): void;
  fenced(partition: OwnedPartition): void;
  trouble(partition: OwnedPartition, error: Error): void;
}

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

interface Commit {
  readonly partition: OwnedPartition;
  readonly item: CommitItem;
  readonly waiters: readonly Waiter[];
}

/**
 * Commits the progress of one shard's partitions: one script call at a time for all that have any. A call is made again
 * until it is answered; its sequence numbers make it the same call, so one that arrives late, or twice, moves
 * no position back.
 */
export class Committer {
  private readonly dirty = new Map<OwnedPartition, Waiter[]>();
  /** Each with a call of its own under way, because the server refused a call that it was part of. Its next commit waits for that one. */
  private readonly apart = new Set<OwnedPartition>();
  private running: Promise<void> | undefined;
  private startedAt = -Infinity;
  private hurry: (() => void) | undefined;

  constructor(
    private readonly store: PartitionStore,
    private readonly shard: number,
    private readonly host: CommitterHost,
  ) {}

  mark(partition: OwnedPartition): void {
    if (!this.dirty.has(partition)) this.dirty.set(partition, []);
    if (partition.isUrgent) this.hurry?.();
    this.running ??= this.run();
  }

  /** Resolves when all progress so far is stored. @throws FencedError */
  flush(partition: OwnedPartition): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiters = this.dirty.get(partition) ?? [];
      waiters.push({ resolve, reject });
      this.dirty.set(partition, waiters);
      this.hurry?.();
      this.running ??= this.run();
    });
  }

  private async run(): Promise<void> {
    try {
      // One turn later, so that what is finished in this turn shares the commit.
      await new Promise((resolve) => setImmediate(resolve));
      while (this.due().length > 0) {
        await this.pause();
        this.startedAt = performance.now();
        const batch = this.due().slice(0, MOST).map(([partition, waiters]): Commit => ({ partition, waiters, item: partition.commitItem() }));
        for (const { partition } of batch) this.dirty.delete(partition);
        // Refused as a whole: a partition that is no stream any more, say, must not keep the others.
        const answers = await this.send(batch.map(({ item }) => item)).catch(() => undefined);
        if (answers) this.answered(batch, answers);
        else for (const commit of batch) void this.alone(commit);
      }
    } finally {
      this.running = undefined;
    }
  }

  private due(): Array<[OwnedPartition, Waiter[]]> {
    return [...this.dirty].filter(([partition]) => !this.apart.has(partition));
  }

  private async pause(): Promise<void> {
    const left = this.startedAt + GAP_MS - performance.now();
    if (left <= 0) return;
    for (const [partition, waiters] of this.due()) if (waiters.length > 0 || partition.isUrgent) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, left);
      this.hurry = () => (clearTimeout(timer), resolve());
    });
    this.hurry = undefined;
  }

  /** The same call until it is answered: a later one in its place would pass over the dead letters that only this one carries. */
  private async alone(commit: Commit): Promise<void> {
    this.apart.add(commit.partition);
    let answers: ReadonlyArray<CommitAnswer | undefined> | undefined;
    while (!answers) {
      try {
        answers = await this.send([commit.item]);
      } catch (error) {
        this.host.trouble(commit.partition, error as Error);
        await sleep(RETRY_MS * 10);
      }
    }
    this.apart.delete(commit.partition);
    this.answered([commit], answers);
    if (this.dirty.has(commit.partition)) this.running ??= this.run();
  }

  private answered(batch: readonly Commit[], answers: ReadonlyArray<CommitAnswer | undefined>): void {
    for (const [i, { partition, item, waiters }] of batch.entries()) {
      const answer = answers[i];
      if (answer === undefined || answer === 'FENCED') {
        const error = new FencedError(`${partition.stream}/${partition.partition}`, partition.token, 'commit');
        for (const waiter of waiters) waiter.reject(error);
        if (answer === 'FENCED') this.host.fenced(partition);
        continue;
      }
      partition.committed(item, answer);
      this.host.committed(partition, item);
      for (const waiter of waiters) waiter.resolve();
    }
  }

  /** One answer per item; undefined: given up, because the session is over. @throws what makes no sense to send again at once */
  private async send(items: readonly CommitItem[]): Promise<Array<CommitAnswer | undefined>> {
    for (;;) {
      if (!this.host.isLive()) return items.map(() => undefined);
      try {
        return await this.store.commit(this.shard, items);
      } catch (error) {
        if (!isTransient(error)) throw error;
        await sleep(RETRY_MS);
      }
    }
  }
}
