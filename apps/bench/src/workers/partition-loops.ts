import { Redis } from 'ioredis';
import type { Payment } from '../payload.js';
import type { Meter } from '../support/meter.js';
import { consumer, type Consumption } from './partition-consumers.js';
import { PARTITIONS, partitionKey } from './partition-producers.js';
import type { Role } from './role.js';

type Entry = readonly [id: string, fields: readonly string[]];
type Reply = ReadonlyArray<readonly [stream: string, entries: readonly Entry[]]> | null;

const GROUP = 'bench';
const BLOCK_MS = 100;

/** The user's handler, as everybody has it: asynchronous. */
function handlerOf(meter: Meter): (data: unknown) => Promise<void> {
  return async (data) => meter.see(data as Payment);
}

/**
 * The loop people write by hand, at its best: the next batch is being read while this one is handled, on a connection of
 * its own, and acknowledgements go out in one command per batch and stream, not waited for before the next batch.
 */
function loop(read: (reader: Redis) => Promise<Reply>, handle: (reply: NonNullable<Reply>) => Promise<unknown>, acknowledge: (reply: NonNullable<Reply>) => Promise<unknown>, reader: Redis, writer: Redis): Consumption {
  let running = true;
  let acknowledging: Promise<unknown> = Promise.resolve();
  const ended = (async () => {
    let next = read(reader);
    while (running) {
      const reply = await next;
      next = read(reader);
      if (!reply) continue;
      await handle(reply);
      await acknowledging; // one in flight: what is not acknowledged must not grow without bound
      acknowledging = acknowledge(reply);
    }
    await next;
  })();
  return {
    settled: async () => {
      // The handler of the last message has returned, its batch's end is a few turns away.
      await new Promise((resolve) => setImmediate(resolve));
      await acknowledging;
    },
    stop: async () => {
      running = false;
      await ended;
      await acknowledging;
      reader.disconnect();
      writer.disconnect();
    },
  };
}

/** A burst goes on with the groups of the one before. */
export function unlessThere(error: Error): void {
  if (!error.message.startsWith('BUSYGROUP')) throw error;
}

/** XREADGROUP, XACK, XDEL over so many streams. */
function groupLoop(streams: number, count: number): Role {
  return consumer(async (url, stream, meter) => {
    const reader = new Redis(url);
    const writer = new Redis(url);
    const keys = Array.from({ length: streams }, (_, i) => partitionKey(stream, i));
    for (const key of keys) await writer.xgroup('CREATE', key, GROUP, '0', 'MKSTREAM').catch(unlessThere);
    const handler = handlerOf(meter);
    const news = keys.map(() => '>');
    return loop(
      (redis) => redis.xreadgroup('GROUP', GROUP, 'worker', 'COUNT', count, 'BLOCK', BLOCK_MS, 'STREAMS', ...keys, ...news) as Promise<Reply>,
      (reply) => Promise.all(reply.map(([, entries]) => inOrder(entries, handler))),
      (reply) => {
        const pipeline = writer.pipeline();
        for (const [key, entries] of reply) {
          const ids = entries.map(([id]) => id);
          pipeline.xack(key, GROUP, ...ids).xdel(key, ...ids);
        }
        return pipeline.exec();
      },
      reader,
      writer,
    );
  });
}

/** Plain XREAD from positions of its own, saved per batch; what they have passed is trimmed now and then. Nothing is fenced. */
function cursorLoop(count: number): Role {
  return consumer(async (url, stream, meter) => {
    const reader = new Redis(url);
    const writer = new Redis(url);
    const keys = Array.from({ length: PARTITIONS }, (_, i) => partitionKey(stream, i));
    const saved = await writer.hgetall(`${stream}:positions`);
    const positions = new Map(keys.map((key) => [key, saved[key] ?? '0-0']));
    const handler = handlerOf(meter);
    let batches = 0;
    return loop(
      async (redis) => {
        const reply = (await redis.xread('COUNT', count, 'BLOCK', BLOCK_MS, 'STREAMS', ...keys, ...positions.values())) as Reply;
        for (const [key, entries] of reply ?? []) positions.set(key, entries.at(-1)![0]);
        return reply;
      },
      (reply) => Promise.all(reply.map(([, entries]) => inOrder(entries, handler))),
      (reply) => {
        const pipeline = writer.pipeline();
        pipeline.hset(`${stream}:positions`, ...reply.flatMap(([key, entries]) => [key, entries.at(-1)![0]]));
        if (++batches % 16 === 0) for (const [key, entries] of reply) pipeline.xtrim(key, 'MINID', '~', entries.at(-1)![0]);
        return pipeline.exec();
      },
      reader,
      writer,
    );
  });
}

async function inOrder(entries: readonly Entry[], handler: (data: unknown) => Promise<void>): Promise<void> {
  for (const [, fields] of entries) await handler(JSON.parse(fields[1]!));
}

export const partitionLoopRoles: Readonly<Record<string, Role>> = {
  'consume-group-1': groupLoop(1, 500),
  'consume-group-16': groupLoop(PARTITIONS, 100),
  'consume-cursor-16': cursorLoop(100),
};
