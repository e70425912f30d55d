import { Buffer } from 'node:buffer';
import { PartitionFullError, PartitionUnusableError } from '../errors/index.js';
import { shardKeys, type ShardKeys } from '../keys/partition-keys.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { RedisConnection } from '../redis/connection.js';
import { NumberedBatches, type BatchHead } from '../redis/numbered-batches.js';
import { Outbox } from '../redis/outbox.js';
import { bulk } from '../redis/wire.js';
import type { Outgoing } from './encode.js';
import type { KnownStream } from './registration.js';
import type { SentMessage } from './types.js';

/** A message's stream as two characters of the printable 64 from here on. */
const FIRST_CHARACTER = 48;
const CHARACTERS = Array.from({ length: 64 }, (_, i) => String.fromCharCode(FIRST_CHARACTER + i));

/** One producer's way to one shard. */
export class ShardProducer {
  readonly outbox: Outbox<Outgoing, SentMessage>;
  private readonly batches: NumberedBatches<Outgoing, SentMessage>;
  private readonly keys: ShardKeys;
  private readonly record: string;
  /** Names of the partitions' keys, as they were needed. */
  private readonly names: string[] = [];
  /** Of the batch that is being written: which of its keys is which partition. */
  private readonly places = new Map<number, number>();

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
      write: (messages) => this.written(messages),
      settle: (messages, answers) => this.settle(messages, answers),
    });
    this.outbox = new Outbox(`producer of "${stream.stream}"`, (batch) => this.batches.send(batch));
  }

  /** Refuses new messages, sends what is waiting, lets its record expire. */
  async close(): Promise<void> {
    await this.outbox.close();
    await this.batches.close();
  }

  /** A batch as the script wants it: keys, the place of each message's among them, and the messages. */
  private written(messages: readonly Outgoing[]): (head: BatchHead) => Promise<string> {
    const names = [this.record, this.keys.dropped];
    const width = messages.some(({ headers }) => headers !== '') ? 3 : 2;
    let places = '';
    let text = '';
    this.places.clear();
    for (const message of messages) {
      const { partition, key, data, headers } = message;
      let place = this.places.get(partition);
      if (place === undefined) {
        this.places.set(partition, (place = names.length - 2));
        names.push((this.names[partition] ??= this.keys.partition(partition)));
      }
      places += CHARACTERS[place >> 6]! + CHARACTERS[place & 63]!;
      text += width === 2 ? `${bulk(key)}${bulk(data)}` : `${bulk(key)}${bulk(data)}${bulk(headers)}`;
      message.forget();
    }
    const { maxEntries, whenFull } = this.stream;
    const more = { count: messages.length * width, bytes: Buffer.from(text) };
    return async (head) => (await this.redis.scripts.run('partition-produce', names, [...head, maxEntries, whenFull, width, places], { more })) as string;
  }

  /** `answers`: the batch's number, an answer per message, notes. */
  private settle(messages: readonly Outgoing[], answers: readonly string[]): void {
    const { stream, maxEntries } = this.stream;
    for (let i = messages.length + 1; i < answers.length; i++) {
      const [partition, dropped] = answers[i]!.slice(1).split(':').map(Number) as [number, number];
      this.events.emit('partition.dropped', { stream, partition, messages: dropped });
    }
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i]!;
      const { partition } = message;
      const id = answers[i + 1]!;
      if (id === 'FULL') message.reject(new PartitionFullError(stream, partition, maxEntries));
      else if (id === 'BAD') message.reject(new PartitionUnusableError(stream, partition, this.keys.partition(partition)));
      else message.resolve({ partition, id });
    }
  }
}
