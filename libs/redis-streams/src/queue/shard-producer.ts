import { Buffer } from 'node:buffer';
import type { RedisConnection } from '../redis/connection.js';
import { NumberedBatches, type BatchHead } from '../redis/numbered-batches.js';
import { Outbox, type Budget } from '../redis/outbox.js';
import type { ReplicatedChannel } from '../redis/replicated-channel.js';
import { ScriptRunner } from '../redis/script-runner.js';
import { bulk } from '../redis/wire.js';
import type { Outgoing } from './encode.js';
import type { ResolvedQueueProducer } from './producer-options.js';
import type { KnownQueue } from './registration.js';
import type { SentQueueMessage } from './types.js';

const EQUALS = '='.charCodeAt(0);

/** One producer's way to one shard of a queue. */
export class ShardProducer {
  readonly outbox: Outbox<Outgoing, SentQueueMessage>;
  private readonly batches: NumberedBatches<Outgoing, SentQueueMessage>;
  private readonly names: readonly string[];
  private readonly rest: readonly [dedupeMs: number, producer: string, bell: string];
  private readonly replicated: ReplicatedChannel | undefined;
  private readonly scripts: ScriptRunner;

  constructor(
    redis: RedisConnection,
    queue: KnownQueue,
    private readonly shard: number,
    producer: string,
    { sendTimeoutMs, waitReplicas, waitTimeoutMs }: ResolvedQueueProducer,
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
      write: (messages) => this.written(messages),
      settle: (messages, answers) => this.settle(messages, answers),
    });
    this.outbox = new Outbox(`producer of "${queue.queue}"`, (batch) => this.batches.send(batch), { budget, countUnderWay: true });
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

  /** A batch as the script wants it: one argument a message when data is all there is to all of them. */
  private written(messages: readonly Outgoing[]): (head: BatchHead) => Promise<string> {
    const plain = messages.every((message) => message.plain);
    let text = '';
    for (const message of messages) {
      const { data, key, headers, id, delay } = message;
      text += plain ? bulk(data) : `${bulk(key)}${bulk(headers)}${bulk(id)}${bulk(delay)}${bulk(data)}`;
      message.forget();
    }
    const width = plain ? 1 : 5;
    const more = { count: messages.length * width, bytes: Buffer.from(text) };
    return async (head) => (await this.scripts.run('queue-produce', this.names, [...head, width, ...this.rest], { more })) as string;
  }

  /** `answers`: the batch's number, then one for each message. */
  private settle(messages: readonly Outgoing[], answers: readonly string[]): void {
    const { shard } = this;
    for (let i = 0; i < messages.length; i++) {
      const answer = answers[i + 1]!;
      const duplicate = answer.charCodeAt(0) === EQUALS;
      messages[i]!.resolve({ shard, id: duplicate ? answer.slice(1) : answer, duplicate });
    }
  }
}
