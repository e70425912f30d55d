import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { payment, type Payment } from '../payload.js';
import { unlessThere } from '../workers/partition-loops.js';
import type { Role } from '../workers/role.js';
import { consumer, number } from './consumers.js';
import { batches, producer } from './producers.js';

type Entry = readonly [id: string, fields: readonly string[]];
type Reply = ReadonlyArray<readonly [stream: string, entries: readonly Entry[]]> | null;

const GROUP = 'bench';
const BLOCK_MS = 100;
/** Of one XREADGROUP, and so of one XACK and XDEL. Less costs the loop, more gains it nothing. */
const COUNT = 500;

/**
 * The loop people write by hand, at its best: the next batch is being read while this one is handled, on a connection of
 * its own, and acknowledgements go out in two pipelined commands per batch, not waited for before the next batch.
 */
const consume: Role = consumer(async ({ url, options, queue, meter }) => {
  const reader = new Redis(url);
  const writer = new Redis(url);
  const count = number(options, 'count', COUNT);
  // What the user's handler is to everybody: asynchronous.
  const handler = async (data: unknown): Promise<void> => meter.see(data as Payment);
  await writer.xgroup('CREATE', queue, GROUP, '0', 'MKSTREAM').catch(unlessThere);
  const read = (): Promise<Reply> => reader.xreadgroup('GROUP', GROUP, 'worker', 'COUNT', count, 'BLOCK', BLOCK_MS, 'STREAMS', queue, '>') as Promise<Reply>;
  let running = true;
  let acknowledging: Promise<unknown> = Promise.resolve();
  const ended = (async () => {
    let next = read();
    while (running) {
      const reply = await next;
      next = read();
      if (!reply) continue;
      const ids: string[] = [];
      for (const [id, fields] of reply[0]![1]) {
        await handler(JSON.parse(fields[1]!));
        ids.push(id);
      }
      await acknowledging; // one in flight: what is not acknowledged must not grow without bound
      acknowledging = writer.pipeline().xack(queue, GROUP, ...ids).xdel(queue, ...ids).exec();
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
});

/** Pipelines of XADDs, two in flight. */
const pipeline: Role = async ({ url, options, tell }) => {
  const redis = new Redis(url);
  return producer((queue, count) =>
    batches(count, number(options, 'batch', 200), async (from, to) => {
      const commands = redis.pipeline();
      for (let i = from; i < to; i++) commands.xadd(queue, '*', 'data', JSON.stringify(payment(i)));
      await commands.exec();
    }), tell);
};

const BARE = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'data', ARGV[i]) end return #ARGV";

/** Better than most would write: one script call for 200 messages, without ids, bounds or resends. */
const script: Role = async ({ url, options, tell }) => {
  const redis = new Redis(url);
  await redis.script('LOAD', BARE);
  const sha = createHash('sha1').update(BARE).digest('hex');
  return producer((queue, count) =>
    batches(count, number(options, 'batch', 200), (from, to) => redis.evalsha(sha, 1, queue, ...Array.from({ length: to - from }, (_, i) => JSON.stringify(payment(from + i))))), tell);
};

export const queueLoopRoles: Readonly<Record<string, Role>> = { 'queue-consume-loop': consume, 'queue-produce-pipeline': pipeline, 'queue-produce-script': script };
