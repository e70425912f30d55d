import { randomBytes } from 'node:crypto';
import { BackpressureError, ClosedError, ConnectionError, InvalidOptionsError, PartitionFullError, PartitionUnusableError } from '../errors/index.js';
import { isOutOfMemory, isTransient } from '../kernel/server-errors.js';
import { describe } from '../keys/names.js';
import { shardKeys, shardOf } from '../keys/partition-keys.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import { Batcher } from '../redis/batcher.js';
import type { RedisConnection } from '../redis/connection.js';
import { sleep } from '../redis/sleep.js';
import { encode, type Payload } from './encode.js';
import type { KnownStream } from './registration.js';
import type { OutgoingMessage, SentMessage } from './types.js';

interface Encoded extends Payload {
  readonly partition: number;
  readonly since: number;
}

interface ShardState {
  readonly batcher: Batcher<Encoded, SentMessage>;
  sequence: number;
  /** Batches under way, oldest first. */
  readonly inFlight: Map<number, Promise<unknown>>;
  /** The last batch was given up. */
  down: boolean;
}

/** How long the server remembers a batch's answers for a resend. */
const KEEP_MS = 600_000;
const GIVE_UP_MS = 15_000;
/** How long a closed producer's record outlives it. */
const LATE_MS = 60_000;
const MAX_PENDING = 100_000;

/**
 * Sends to one stream, in order, batched per shard. A batch whose answer was lost is sent again under its sequence
 * number, which the server recognises: so nothing is stored twice, and a promise that resolved is stored.
 */
export class PartitionProducer {
  private readonly id = randomBytes(8).toString('hex');
  private readonly shards = new Map<number, ShardState>();
  private stream: KnownStream | undefined;
  private lookup: Promise<KnownStream> | undefined;
  /** Sends that wait for the stream to be known. */
  private readonly waiting = new Set<Promise<SentMessage>>();
  private turn = Math.floor(Math.random() * 10_000);
  private closed = false;

  constructor(
    private readonly redis: RedisConnection,
    private readonly events: RedisStreamsEvents,
    /** Full name of the stream. */
    readonly name: string,
    private readonly find: () => Promise<KnownStream>,
  ) {}

  /**
   * Resolves with the message's place when Redis has it.
   * @throws PartitionFullError | BackpressureError (100,000 messages or 64 MiB are waiting already, or Redis is out of memory) |
   * ConnectionError (after 15 s of trying: whether it was stored is unknown) | StreamNotRegisteredError |
   * InvalidOptionsError (a message that cannot be sent) | ClosedError
   */
  send(message: OutgoingMessage): Promise<SentMessage> {
    if (this.closed) return Promise.reject(new ClosedError(`producer of "${this.name}"`));
    // While earlier ones wait for the stream to be known, later ones wait behind them.
    if (this.stream && this.waiting.size === 0) return this.enqueue(this.stream, message);
    if (this.waiting.size >= MAX_PENDING) return Promise.reject(new BackpressureError(`producer of "${this.name}"`, `${MAX_PENDING} messages, and the stream is yet to be looked up`));
    const sent = this.known().then((stream) => this.enqueue(stream, message));
    const gone = (): void => void this.waiting.delete(sent);
    this.waiting.add(sent);
    // Out of the way as soon as it is enqueued: what is sent then goes out behind it.
    this.known().then(gone, gone);
    return sent;
  }

  /**
   * As `send` for each, in order. Resolves when all are settled.
   * @throws what the first one that failed threw; messages are not all or none
   */
  async sendMany(messages: readonly OutgoingMessage[]): Promise<SentMessage[]> {
    if (this.closed) throw new ClosedError(`producer of "${this.name}"`);
    // Without a wait when none is needed: what is sent after this call stands behind it.
    const stream = this.stream && this.waiting.size === 0 ? this.stream : await this.known();
    const encoded = messages.map((message, i) => this.encode(stream, message, `messages[${i}]`));
    const settled = await Promise.allSettled(encoded.map((item) => this.batcher(stream, item.partition).add(item)));
    return settled.map((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
  }

  /** Resolves when everything sent so far has settled. */
  async flush(): Promise<void> {
    if (this.waiting.size > 0) await this.known().catch(() => undefined);
    await Promise.all([...this.shards.values()].map(({ batcher }) => batcher.flush()));
  }

  /** @internal Refuses new messages, sends what is waiting, lets this producer's keys expire. */
  async close(): Promise<void> {
    this.closed = true;
    await this.flush();
    await Promise.all(
      [...this.shards].map(async ([shard, state]) => {
        await state.batcher.close();
        // Not deleted: a copy of a batch that is still on its way must find that it has been stored.
        if (state.sequence > 0) await this.redis.commands.call('PEXPIRE', [shardKeys(this.name, shard).producer(this.id), LATE_MS]).catch(() => undefined);
      }),
    );
  }

  private known(): Promise<KnownStream> {
    return (this.lookup ??= this.find().then(
      (stream) => (this.stream = stream),
      (error: unknown) => ((this.lookup = undefined), Promise.reject(error as Error)),
    ));
  }

  private enqueue(stream: KnownStream, message: OutgoingMessage): Promise<SentMessage> {
    let item: Encoded;
    try {
      item = this.encode(stream, message, 'message');
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return this.batcher(stream, item.partition).add(item);
  }

  private encode(stream: KnownStream, message: OutgoingMessage, path: string): Encoded {
    const { key, data, headers } = encode(message, stream.partitions, path);
    return { partition: message.partition ?? this.choose(stream, message.key), key, data, headers, since: performance.now() };
  }

  private choose(stream: KnownStream, key: string | undefined): number {
    if (key === undefined) return this.turn++ % stream.partitions;
    if (!stream.partition) {
      throw new InvalidOptionsError([{ path: `stream "${stream.stream}"`, message: `was registered with the partitioner "${stream.partitioner}"; register it here too, with the same function, to send by key` }]);
    }
    const partition = stream.partition(key, stream.partitions);
    if (Number.isInteger(partition) && partition >= 0 && partition < stream.partitions) return partition;
    throw new InvalidOptionsError([{ path: `partitioner "${stream.partitioner}"`, message: `must return a whole number from 0 to ${stream.partitions - 1} (got ${describe(partition)} for the key ${describe(key)})` }]);
  }

  private batcher(stream: KnownStream, partition: number): Batcher<Encoded, SentMessage> {
    const shard = shardOf(partition, stream.shards);
    const known = this.shards.get(shard);
    if (known) return known.batcher;
    const state: ShardState = {
      sequence: 0,
      inFlight: new Map(),
      down: false,
      batcher: new Batcher<Encoded, SentMessage>({
        what: `producer of "${stream.stream}"`,
        send: (items) => {
          const sequence = ++state.sequence;
          const sent = this.sendBatch(stream, shard, state, sequence, items).finally(() => state.inFlight.delete(sequence));
          state.inFlight.set(sequence, sent.catch(() => undefined));
          return sent;
        },
        // The next one is on its way while the server works on this one.
        inFlight: 2,
        sizeOf: (item) => item.data.length + item.key.length + item.headers.length + 16,
        maxItems: 512,
        maxBytes: 1_048_576,
        maxPendingItems: MAX_PENDING,
        maxPendingBytes: 67_108_864,
      }),
    };
    this.shards.set(shard, state);
    return state.batcher;
  }

  private async sendBatch(stream: KnownStream, shard: number, state: ShardState, sequence: number, items: readonly Encoded[]): Promise<Array<SentMessage | Error>> {
    const { inFlight } = state;
    // Counted from when the oldest was given to us, so that what waits behind a batch that fails does not wait as long again.
    const until = items[0]!.since + GIVE_UP_MS;
    if (state.down && performance.now() > until) throw this.gaveUp(stream, new ConnectionError('the messages before these could not be sent'));
    const keys = shardKeys(stream.stream, shard);
    const { partitions, texts, order, withHeaders } = group(items);
    const args: Array<string | number> = [sequence, KEEP_MS, stream.maxEntries, stream.whenFull, 0, withHeaders ? 1 : 0];
    partitions.forEach((partition, i) => args.push(partition, texts[i]!));
    const names = [keys.producer(this.id), keys.dropped, ...partitions.map((partition) => keys.partition(partition))];
    for (;;) {
      try {
        args[4] = Math.min(sequence, ...inFlight.keys()) - 1;
        const [status, answers] = (await this.redis.scripts.run('partition-produce', names, args)) as [string, string];
        state.down = false;
        if (status === 'OK') return this.read(stream, items, order, answers.split(' '));
        // Its turn comes when the batch before it has been stored, or given up.
        if (status === 'GAP') await inFlight.get(sequence - 1);
        else throw new ConnectionError(`the server no longer remembers what became of batch ${sequence} of this producer`);
      } catch (error) {
        if (isOutOfMemory(error)) throw new BackpressureError('Redis', (error as Error).message);
        if (!isTransient(error)) throw error;
        if (performance.now() > until) {
          state.down = true;
          throw this.gaveUp(stream, error as Error);
        }
        await sleep(100);
      }
    }
  }

  private gaveUp({ stream }: KnownStream, cause: Error): ConnectionError {
    return new ConnectionError(`sending to "${stream}" failed for ${GIVE_UP_MS} ms (${cause.message}); whether these messages were stored is unknown`, cause);
  }

  private read(stream: KnownStream, items: readonly Encoded[], order: readonly number[], answers: readonly string[]): Array<SentMessage | Error> {
    for (const note of answers.slice(items.length)) {
      const [partition, messages] = note.slice(1).split(':').map(Number) as [number, number];
      this.events.emit('partition.dropped', { stream: stream.stream, partition, messages });
    }
    const results: Array<SentMessage | Error> = Array.from({ length: items.length });
    order.forEach((item, i) => {
      const { partition } = items[item]!;
      const id = answers[i]!;
      if (id === 'FULL') results[item] = new PartitionFullError(stream.stream, partition, stream.maxEntries);
      else if (id === 'BAD') results[item] = new PartitionUnusableError(stream.stream, partition, shardKeys(stream.stream, shardOf(partition, stream.shards)).partition(partition));
      else results[item] = { partition, id };
    });
    return results;
  }
}

/** A batch as the script wants it: the messages of each partition in one text, and in which order they stand there. */
function group(items: readonly Encoded[]): { partitions: number[]; texts: string[]; order: number[]; withHeaders: boolean } {
  const withHeaders = items.some(({ headers }) => headers !== '');
  const byPartition = new Map<number, { text: string; items: number[] }>();
  items.forEach(({ partition, key, data, headers }, i) => {
    let part = byPartition.get(partition);
    if (!part) byPartition.set(partition, (part = { text: '', items: [] }));
    part.text += withHeaders ? `${key}\t${data}\t${headers}\n` : `${key}\t${data}\n`;
    part.items.push(i);
  });
  const parts = [...byPartition.values()];
  return { partitions: [...byPartition.keys()], texts: parts.map(({ text }) => text), order: parts.flatMap((part) => part.items), withHeaders };
}
