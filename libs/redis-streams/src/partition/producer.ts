import { randomBytes } from 'node:crypto';
import { BackpressureError, ClosedError, InvalidOptionsError } from '../errors/index.js';
import { describe } from '../keys/names.js';
import { shardOf } from '../keys/partition-keys.js';
import type { RedisStreamsEvents } from '../observability/events.js';
import type { RedisConnection } from '../redis/connection.js';
import { together } from '../redis/settle.js';
import { encode, NO_KEY, type Outgoing } from './encode.js';
import type { KnownStream } from './registration.js';
import { ShardProducer } from './shard-producer.js';
import type { OutgoingMessage, SentMessage } from './types.js';

/** Sends that may wait for the stream to be looked up. */
const MAX_WAITING = 100_000;

/**
 * Sends to one stream, in order, batched per shard: a promise that resolved is stored, once.
 */
export class PartitionProducer {
  private readonly id = randomBytes(8).toString('hex');
  private readonly shards = new Map<number, ShardProducer>();
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
    if (this.waiting.size >= MAX_WAITING) return Promise.reject(new BackpressureError(`producer of "${this.name}"`, `${MAX_WAITING} messages, and the stream is yet to be looked up`));
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
    if (!Array.isArray(messages)) throw new InvalidOptionsError([{ path: 'messages', message: `must be an array (got ${describe(messages)})` }]);
    // Without a wait when none is needed: what is sent after this call stands behind it.
    const stream = this.stream && this.waiting.size === 0 ? this.stream : await this.known();
    const encoded = messages.map((message, i) => this.encode(stream, message, `messages[${i}]`));
    return together(encoded, (item, settle, place) => this.shard(stream, item.partition).outbox.post(item, settle, place));
  }

  /** Resolves when everything sent so far has settled. */
  async flush(): Promise<void> {
    // A batch waits for the stream as single messages do, and goes out right then.
    await this.lookup?.catch(() => undefined);
    await Promise.all([...this.shards.values()].map(({ outbox }) => outbox.flush()));
  }

  /** @internal Refuses new messages, sends what is waiting, lets this producer's keys expire. */
  async close(): Promise<void> {
    this.closed = true;
    await this.flush();
    await Promise.all([...this.shards.values()].map((shard) => shard.close()));
  }

  private known(): Promise<KnownStream> {
    return (this.lookup ??= this.find().then(
      (stream) => (this.stream = stream),
      (error: unknown) => ((this.lookup = undefined), Promise.reject(error as Error)),
    ));
  }

  private enqueue(stream: KnownStream, message: OutgoingMessage): Promise<SentMessage> {
    let item: Outgoing;
    try {
      item = this.encode(stream, message, 'message');
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return this.shard(stream, item.partition).outbox.add(item);
  }

  private encode(stream: KnownStream, message: OutgoingMessage, path: string): Outgoing {
    const item = encode(message, stream.partitions, path);
    if (item.partition < 0) item.partition = this.choose(stream, item.key === NO_KEY ? undefined : item.key);
    return item;
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

  private shard(stream: KnownStream, partition: number): ShardProducer {
    const shard = shardOf(partition, stream.shards);
    let known = this.shards.get(shard);
    if (!known) this.shards.set(shard, (known = new ShardProducer(this.redis, this.events, stream, shard, this.id)));
    return known;
  }
}
