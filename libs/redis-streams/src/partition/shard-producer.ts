import { Buffer } from 'node:buffer';
import { BackpressureError, ConnectionError, PartitionFullError, PartitionUnusableError } from '../errors/index.js';
import { isOutOfMemory, isTransient } from '../kernel/server-errors.js';
import { shardKeys, type ShardKeys } from '../keys/partition-keys.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { RedisConnection } from '../redis/connection.js';
import { sleep } from '../redis/sleep.js';
import { bulk, type WireArguments } from '../redis/wire.js';
import type { Outgoing } from './encode.js';
import { Outbox, type Batch } from './outbox.js';
import type { KnownStream } from './registration.js';

/** How long the server remembers a batch's answers for a resend; made to last so long again once a minute. */
const KEEP_MS = 600_000;
const RENEW_MS = 60_000;
const GIVE_UP_MS = 15_000;
/** How long a closed producer's record outlives it. */
const LATE_MS = 60_000;
/** A message's stream as two characters of the printable 64 from here on. */
const FIRST_CHARACTER = 48;
const CHARACTERS = Array.from({ length: 64 }, (_, i) => String.fromCharCode(FIRST_CHARACTER + i));

interface Flight {
  readonly sequence: number;
  settled: Promise<void> | undefined;
}

/**
 * One producer's way to one shard. A batch whose answer was lost is sent again under its sequence number, which the
 * server recognises: so nothing is stored twice, and a promise that resolved is stored.
 */
export class ShardProducer {
  readonly outbox: Outbox;
  private readonly keys: ShardKeys;
  private readonly record: string;
  /** Names of the partitions' keys, as they were needed. */
  private readonly names: string[] = [];
  private sequence = 0;
  /** Batches under way, oldest first. */
  private flights: Flight[] = [];
  private renewedAt = -Infinity;
  /** The last batch was given up. */
  private down = false;
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
    this.outbox = new Outbox(`producer of "${stream.stream}"`, (batch) => this.send(batch));
  }

  /** Refuses new messages, sends what is waiting, lets its record expire. */
  async close(): Promise<void> {
    await this.outbox.close();
    // Not deleted: a copy of a batch that is still on its way must find that it has been stored.
    if (this.sequence > 0) await this.redis.commands.call('PEXPIRE', [this.record, LATE_MS]).catch(() => undefined);
  }

  private send(batch: Batch): Promise<void> {
    const flight: Flight = { sequence: ++this.sequence, settled: undefined };
    this.flights.push(flight);
    const over = (): void => void (this.flights = this.flights.filter((other) => other !== flight));
    flight.settled = this.deliver(batch, flight).then(
      (answers) => {
        over();
        this.settle(batch.messages, answers);
      },
      (error: unknown) => {
        over();
        for (const message of batch.messages) message.reject(error);
      },
    );
    return flight.settled;
  }

  private async deliver(batch: Batch, flight: Flight): Promise<string[]> {
    const { sequence } = flight;
    const until = batch.since + GIVE_UP_MS;
    if (this.down && performance.now() > until) throw this.gaveUp(new ConnectionError('the messages before these could not be sent'));
    const { names, places, width, more } = this.written(batch.messages);
    const { maxEntries, whenFull } = this.stream;
    for (;;) {
      try {
        const now = performance.now();
        const renew = now - this.renewedAt > RENEW_MS;
        const args = [sequence, this.flights[0]!.sequence - 1, renew ? KEEP_MS : 0, KEEP_MS, maxEntries, whenFull, width, places];
        const answer = (await this.redis.scripts.run('partition-produce', names, args, { more })) as string;
        this.down = false;
        if (answer === 'GAP') {
          // Its turn comes when the batch before it has been stored, or given up.
          await this.flights.find((other) => other.sequence === sequence - 1)?.settled;
        } else if (answer === 'LATE') {
          throw new ConnectionError(`the server no longer remembers what became of batch ${sequence} of this producer`);
        } else {
          if (renew) this.renewedAt = now;
          return answer.split(' ');
        }
      } catch (error) {
        if (isOutOfMemory(error)) throw new BackpressureError('Redis', (error as Error).message);
        if (!isTransient(error)) throw error;
        if (performance.now() > until) {
          this.down = true;
          throw this.gaveUp(error as Error);
        }
        await sleep(100);
      }
    }
  }

  /** A batch as the script wants it: keys, the place of each message's among them, and the messages. */
  private written(messages: readonly Outgoing[]): { names: string[]; places: string; width: 2 | 3; more: WireArguments } {
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
    return { names, places, width, more: { count: messages.length * width, bytes: Buffer.from(text) } };
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

  private gaveUp(cause: Error): ConnectionError {
    return new ConnectionError(`sending to "${this.stream.stream}" failed for ${GIVE_UP_MS} ms (${cause.message}); whether these messages were stored is unknown`, cause);
  }
}
