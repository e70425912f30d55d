import { PartitionFullError, PartitionUnusableError } from '../errors/index.js';
import { shardKeys, type ShardKeys } from '../keys/partition-keys.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { RedisConnection } from '../redis/connection.js';
import { NumberedBatches, type BatchHead } from '../redis/numbered-batches.js';
import { Outbox, type Batch } from '../redis/outbox.js';
import { Failed } from '../redis/settle.js';
import { WireRoom } from '../redis/wire-room.js';
import type { Outgoing } from './encode.js';
import { OutgoingBatch } from './outgoing-batch.js';
import type { KnownStream } from './registration.js';
import type { SentMessage } from './types.js';

/** One producer's way to one shard. */
export class ShardProducer {
  readonly outbox: Outbox<Outgoing, SentMessage, OutgoingBatch>;
  private readonly batches: NumberedBatches<OutgoingBatch, SentMessage>;
  private readonly keys: ShardKeys;
  private readonly record: string;
  private readonly room = new WireRoom();

  constructor(
    private readonly redis: RedisConnection,
    private readonly events: RedisStreamsEvents,
    private readonly stream: KnownStream,
    shard: number,
    producer: string,
  ) {
    this.keys = shardKeys(stream.stream, shard);
    this.record = this.keys.producer(producer);
    this.batches = new NumberedBatches(redis, {
      what: `sending to "${stream.stream}"`,
      record: this.record,
      run: (messages, head) => this.run(messages, head),
      settle: (batch, answers) => this.settle(batch, answers),
      resent: ({ more }) => more.resent,
      release: ({ more }) => more.release(),
    });
    this.outbox = new Outbox(`producer of "${stream.stream}"`, (batch) => this.batches.send(batch), () => new OutgoingBatch(this.keys, this.room));
  }

  /** Refuses new messages, sends what is waiting, lets its record expire. */
  async close(): Promise<void> {
    await this.outbox.close();
    await this.batches.close();
  }

  private async run({ streams, width, places, more }: OutgoingBatch, head: BatchHead): Promise<string> {
    const { maxEntries, whenFull } = this.stream;
    return (await this.redis.scripts.run('partition-produce', [this.record, this.keys.dropped, ...streams], [...head, maxEntries, whenFull, width, places], { more })) as string;
  }

  /** `answers`: the batch's number, an answer per message, notes. */
  private settle(batch: Batch<OutgoingBatch, SentMessage>, answers: readonly string[]): void {
    const { content: { partitions }, count } = batch;
    const { stream, maxEntries } = this.stream;
    for (let i = count + 1; i < answers.length; i++) {
      const [partition, dropped] = answers[i]!.slice(1).split(':').map(Number) as [number, number];
      this.events.emit('partition.dropped', { stream, partition, messages: dropped });
    }
    for (let i = 0; i < count; i++) {
      const partition = partitions[i]!;
      const id = answers[i + 1]!;
      if (id === 'FULL') batch.settle(i, new Failed(new PartitionFullError(stream, partition, maxEntries)));
      else if (id === 'BAD') batch.settle(i, new Failed(new PartitionUnusableError(stream, partition, this.keys.partition(partition))));
      else batch.settle(i, { partition, id });
    }
  }
}
