import { Redis } from 'ioredis';
import { RedisStreamsEngine, type QueueContext } from '../engine.js';
import { sharedNow } from '../support/clock.js';
import { lanes } from '../support/lanes.js';
import type { Role } from '../workers/role.js';
import { emptied, number } from './consumers.js';

/** As in ami's examples. */
export const AMI_SHARDS = 10;
const QUEUE = 'ruthie';
const GROUP = 'bench';
const PIPELINE = 200;
const COUNT = 500;
const CALLERS = 2_000;

type Entry = readonly [id: string, fields: readonly string[]];
type Reply = ReadonlyArray<readonly [stream: string, entries: readonly Entry[]]> | null;

async function timed(what: () => Promise<unknown>): Promise<number> {
  const from = sharedNow();
  await what();
  return sharedNow() - from;
}

/** Everything is produced, then everything is consumed, then everything is acknowledged, by one process. */
const engine: Role = async ({ url, options, tell }) => {
  const messages = number(options, 'messages', 1_000_000);
  return async () => {
    const own = new RedisStreamsEngine({ connection: { url } });
    await own.queues().register({ name: QUEUE, shards: AMI_SHARDS });
    const queue = own.queues().queue(QUEUE);
    const produceMs = await timed(() => lanes(messages, CALLERS, () => queue.send({})));
    const held: QueueContext[] = [];
    const consumeMs = await timed(async () => {
      await new Promise<void>((resolve, reject) => {
        own.addQueueConsumer({ queue: QUEUE, ack: 'manual', concurrency: messages, prefetch: 2 * messages }, {
          message: (_, context) => {
            if (held.push(context) === messages) resolve();
          },
        });
        own.start().catch(reject);
      });
    });
    const ackMs = await timed(async () => {
      for (const context of held) void context.ack();
      await held.at(-1)!.ack();
      await emptied(own, QUEUE);
    });
    tell({ type: 'done', produceMs, consumeMs, ackMs });
    await own.stop();
  };
};

/** The same by hand: pipelines of 200 XADDs, two in flight; XREADGROUP over all streams; XACK and XDEL of 500, two in flight. */
const loop: Role = async ({ url, options, tell }) => {
  const messages = number(options, 'messages', 1_000_000);
  return async () => {
    const redis = new Redis(url);
    const keys = Array.from({ length: AMI_SHARDS }, (_, shard) => `${QUEUE}:${shard}`);
    for (const key of keys) await redis.xgroup('CREATE', key, GROUP, '0', 'MKSTREAM');
    const produceMs = await timed(() =>
      lanes(messages / PIPELINE, 2, async () => {
        const pipeline = redis.pipeline();
        for (let i = 0; i < PIPELINE; i++) pipeline.xadd(keys[i % AMI_SHARDS]!, '*', 'data', JSON.stringify({}));
        await pipeline.exec();
      }));
    const held: Array<readonly [key: string, ids: string[]]> = [];
    const consumeMs = await timed(async () => {
      for (let count = 0; count < messages; ) {
        const reply = (await redis.xreadgroup('GROUP', GROUP, 'alice', 'COUNT', COUNT, 'STREAMS', ...keys, ...keys.map(() => '>'))) as Reply;
        for (const [key, entries] of reply ?? []) {
          for (const [, fields] of entries) JSON.parse(fields[1]!);
          held.push([key, entries.map(([id]) => id)]);
          count += entries.length;
        }
      }
    });
    const ackMs = await timed(() =>
      lanes(held.length, 2, (i) => {
        const [key, ids] = held[i]!;
        return redis.pipeline().xack(key, GROUP, ...ids).xdel(key, ...ids).exec();
      }));
    tell({ type: 'done', produceMs, consumeMs, ackMs });
    redis.disconnect();
  };
};

export const queueAmiRoles: Readonly<Record<string, Role>> = { 'queue-ami-engine': engine, 'queue-ami-loop': loop };
