import type { KnownQueue } from '../queue/registration.js';
import type { RedisConnection } from '../redis/connection.js';
import type { RedisStreamsContext } from './context.js';

const KEEP_MS = 604_800_000;
const MAX_LOCAL = 10_000;

/** Which of several handlers of a pattern are done with a message that is to be delivered again. */
export interface SettledHandlers {
  /** By their places. `count`: how many there are now; of what was noted with another number nothing is known. */
  of(context: RedisStreamsContext, count: number): Promise<readonly number[]>;
  /** Stored when it resolves: only then may the message fail. */
  note(context: RedisStreamsContext, count: number, done: readonly number[]): Promise<void>;
  forget(context: RedisStreamsContext): Promise<void>;
}

/** In Redis, for whoever of the group gets the message next. */
export class StoredSettledHandlers implements SettledHandlers {
  constructor(
    private readonly redis: RedisConnection,
    private readonly queue: KnownQueue,
  ) {}

  async of(context: RedisStreamsContext, count: number): Promise<readonly number[]> {
    return parse(await this.redis.commands.call('HGET', [this.keyOf(context), context.id]), count);
  }

  async note(context: RedisStreamsContext, count: number, done: readonly number[]): Promise<void> {
    const key = this.keyOf(context);
    await this.redis.commands.call('HSET', [key, context.id, `${count}:${done.join(',')}`]);
    await this.redis.commands.call('PEXPIRE', [key, KEEP_MS]);
  }

  async forget(context: RedisStreamsContext): Promise<void> {
    await this.redis.commands.call('HDEL', [this.keyOf(context), context.id]);
  }

  private keyOf({ delivery }: RedisStreamsContext): string {
    const shard = 'shard' in delivery ? delivery.shard : 0;
    return this.queue.keys[shard]!.group(delivery.group).handlers;
  }
}

/** In this process: a message of a partition is tried again where it failed, unless the partition moves. */
export class LocalSettledHandlers implements SettledHandlers {
  private readonly known = new Map<string, string>();

  async of(context: RedisStreamsContext, count: number): Promise<readonly number[]> {
    return parse(this.known.get(nameOf(context)), count);
  }

  async note(context: RedisStreamsContext, count: number, done: readonly number[]): Promise<void> {
    const name = nameOf(context);
    this.known.delete(name);
    this.known.set(name, `${count}:${done.join(',')}`);
    for (const oldest of this.known.keys()) {
      if (this.known.size <= MAX_LOCAL) break;
      this.known.delete(oldest);
    }
  }

  async forget(context: RedisStreamsContext): Promise<void> {
    this.known.delete(nameOf(context));
  }
}

function nameOf({ delivery, id }: RedisStreamsContext): string {
  return `${'partition' in delivery ? delivery.partition : ''} ${id}`;
}

function parse(text: unknown, count: number): number[] {
  if (typeof text !== 'string' || !text.startsWith(`${count}:`)) return [];
  return text.slice(text.indexOf(':') + 1).split(',').filter(Boolean).map(Number);
}
