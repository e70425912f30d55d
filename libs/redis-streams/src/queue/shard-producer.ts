import type { RedisConnection } from '../redis/connection.js';
import { NumberedBatches, type BatchHead } from '../redis/numbered-batches.js';
import { Outbox, type Batch, type Budget } from '../redis/outbox.js';
import type { ReplicatedChannel } from '../redis/replicated-channel.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { Failed } from '../redis/settle.js';
import { WireRoom } from '../redis/wire-room.js';
import type { Outgoing } from './encode.js';
import { OutgoingBatch } from './outgoing-batch.js';
import type { ResolvedQueueProducer } from './producer-options.js';
import type { KnownQueue } from './registration.js';
import type { SentQueueMessage } from './types.js';

const EQUALS = '='.charCodeAt(0);
const PLUS = '+'.charCodeAt(0);
const NOT_STORED = '-';

/** One producer's way to one shard of a queue. */
export class ShardProducer {
  readonly outbox: Outbox<Outgoing, SentQueueMessage, OutgoingBatch>;
  private readonly batches: NumberedBatches<OutgoingBatch, SentQueueMessage>;
  private readonly names: readonly string[];
  private readonly rest: readonly [dedupeMs: number, producer: string, bell: string];
  private readonly replicated: ReplicatedChannel | undefined;
  private readonly scripts: ScriptRunner;
  private readonly room = new WireRoom();

  constructor(
    redis: RedisConnection,
    private readonly queue: KnownQueue,
    private readonly shard: number,
    producer: string,
    { sendTimeoutMs, waitReplicas, waitTimeoutMs, maxBatch, lingerMs }: ResolvedQueueProducer,
    budget: Budget,
  ) {
    const keys = queue.keys[shard]!;
    const record = keys.producer(producer);
    const what = `sending to "${queue.queue}"`;
    this.names = [record, keys.messages, keys.delayed, keys.ids, keys.origins];
    this.rest = [queue.dedupeMs, producer, keys.bell];
    if (waitReplicas > 0) this.replicated = redis.replicatedFor(record, { what, waitReplicas, waitTimeoutMs, wrote: (answer) => answer !== 'GAP' && answer !== 'LATE' });
    this.scripts = this.replicated ? new ScriptRunner(this.replicated) : redis.scripts;
    this.batches = new NumberedBatches(redis, {
      what,
      record,
      giveUpMs: sendTimeoutMs,
      run: (messages, head) => this.run(messages, head),
      settle: (batch, answers) => this.settle(batch, answers),
      resent: ({ more }) => more.resent,
      release: ({ more }) => more.release(),
    });
    this.outbox = new Outbox(`producer of "${queue.queue}"`, (batch) => this.batches.send(batch), () => new OutgoingBatch(this.room), { budget, countUnderWay: true, maxBatch, lingerMs });
  }

  /** After the last flush: lets the record expire. */
  async close(): Promise<void> {
    await this.batches.close();
    this.replicated?.close();
  }

  /** Rejects everything that has not settled. @returns how many */
  abandon(waiting: Error, underWay: Error): number {
    const count = this.outbox.abandon(waiting) + this.batches.abandon(underWay);
    this.replicated?.close();
    return count;
  }

  private async run({ width, more }: OutgoingBatch, head: BatchHead): Promise<string> {
    return (await this.scripts.run('queue-produce', this.names, [...head, width, ...this.rest], { more })) as string;
  }

  /** `answers`: the batch's number, then a word for each message, or one for all, whose entries follow each other. */
  private settle(batch: Batch<OutgoingBatch, SentQueueMessage>, answers: readonly string[]): void {
    const { shard } = this;
    const first = answers[1]!;
    if (first.charCodeAt(first.length - 1) === PLUS) {
      const dash = first.indexOf('-') + 1;
      const time = first.slice(0, dash);
      const sequence = Number(first.slice(dash, -1));
      for (let i = 0; i < batch.count; i++) batch.settle(i, { shard, id: `${time}${sequence + i}`, duplicate: false });
      return;
    }
    for (let i = 0; i < batch.count; i++) {
      const answer = answers[i + 1]!;
      if (answer === NOT_STORED) {
        batch.settle(i, new Failed(new Error(`the message was not stored: shard ${shard} of the queue "${this.queue.queue}" has run out of entry ids`)));
        continue;
      }
      const duplicate = answer.charCodeAt(0) === EQUALS;
      batch.settle(i, { shard, id: duplicate ? answer.slice(1) : answer, duplicate });
    }
  }
}
