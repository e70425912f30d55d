import { setTimeout as sleep } from 'node:timers/promises';
import type { Rng } from '../../support/seed.js';
import type { Poison, Task } from './messages.js';
import { STREAM, type PartitionWorld } from './world.js';

export interface LoadOptions {
  readonly perSecond: number;
  readonly keys: number;
  readonly rng: Rng;
  /** Ends after so many; else when stopped. */
  readonly total?: number;
  readonly maxWorkMs: number;
}

/** What was sent of one key: 1, 2, ... up to `count`, all to `partition`. */
export interface SentKey {
  readonly partition: number;
  readonly count: number;
}

/** A poisonous message: behind number `after` of its key and before the next. */
export interface SentPoison {
  readonly key: string;
  readonly after: number;
  readonly kind: Poison;
  readonly partition: number;
  readonly id: string;
}

/** Sends numbered messages of random keys at a steady rate. */
export class PartitionLoad {
  /** Answered by Redis. */
  readonly sent = new Map<string, SentKey>();
  readonly failures: string[] = [];
  count = 0;
  private readonly numbers = new Map<string, number>();
  private readonly open = new Set<Promise<void>>();
  private running = true;
  private readonly loop: Promise<void>;

  constructor(private readonly world: PartitionWorld, private readonly options: LoadOptions) {
    this.loop = this.run();
  }

  /** Resolves when all `total` are sent, and answered. */
  async done(): Promise<void> {
    await this.loop;
    await Promise.all([...this.open]);
  }

  stop(): Promise<void> {
    this.running = false;
    return this.done();
  }

  /** Sends a message of a random key that ends its process after `workMs`. */
  async poison(kind: Poison, workMs: number): Promise<SentPoison> {
    const key = `k${this.options.rng.int(1, this.options.keys)}`;
    const after = this.numbers.get(key) ?? 0;
    const place = await this.world.client.send(STREAM, { key, data: { key, seq: 0, workMs, poison: kind } satisfies Task });
    return { key, after, kind, ...place };
  }

  private async run(): Promise<void> {
    const { perSecond, total = Infinity } = this.options;
    const startedAt = performance.now();
    while (this.running && this.count < total) {
      const due = Math.min(total, ((performance.now() - startedAt) / 1_000) * perSecond);
      const tasks: Task[] = [];
      for (; this.count < due; this.count++) tasks.push(this.next());
      if (tasks.length > 0) this.send(tasks);
      await sleep(5);
    }
  }

  private next(): Task {
    const { rng, keys, maxWorkMs } = this.options;
    const key = `k${rng.int(1, keys)}`;
    const seq = (this.numbers.get(key) ?? 0) + 1;
    this.numbers.set(key, seq);
    return { key, seq, workMs: rng.int(0, maxWorkMs) };
  }

  private send(tasks: readonly Task[]): void {
    const sent = this.world.client.sendMany(STREAM, tasks.map((task) => ({ key: task.key, data: task }))).then(
      (places) => tasks.forEach(({ key }, i) => this.answered(key, places[i]!.partition)),
      (error: unknown) => void this.failures.push(String(error)),
    ).finally(() => this.open.delete(sent));
    this.open.add(sent);
  }

  private answered(key: string, partition: number): void {
    const known = this.sent.get(key);
    if (known && known.partition !== partition) this.failures.push(`messages of ${key} went to partitions ${known.partition} and ${partition}`);
    this.sent.set(key, { partition, count: (known?.count ?? 0) + 1 });
  }
}
