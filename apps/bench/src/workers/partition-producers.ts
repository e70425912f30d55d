import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { RedisStreamsEngine } from '../engine.js';
import { accountKey, payment } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import { lanes } from '../support/lanes.js';
import type { Message } from '../support/worker.js';
import type { Role } from './role.js';

export const PARTITIONS = 16;
const BATCH = 200;
/** Batches in flight, so that the next is being written while the last is answered. More than two gain nothing. */
const IN_FLIGHT = 2;

/** Sends payments `from` .. `from + count - 1`, in order. */
type Produce = (stream: string, from: number, count: number) => Promise<unknown>;

function producer(produce: Produce, tell: (message: Message) => void): Awaited<ReturnType<Role>> {
  return async (message) => {
    const count = Number(message['count']);
    const cpu = process.cpuUsage();
    const startAt = sharedNow();
    await produce(String(message['stream']), Number(message['from']), count);
    const endAt = sharedNow();
    const { user, system } = process.cpuUsage(cpu);
    tell({ type: 'produced', startAt, endAt, cpuUs: user + system });
  };
}

function batches(count: number, one: (from: number, to: number) => Promise<unknown>, inFlight = IN_FLIGHT): Promise<void> {
  return lanes(Math.ceil(count / BATCH), inFlight, (batch) => one(batch * BATCH, Math.min(count, (batch + 1) * BATCH)));
}

async function registered(url: string): Promise<RedisStreamsEngine> {
  const engine = new RedisStreamsEngine({ connection: { url } });
  for (const name of ['warm', 'work']) await engine.partitions().register({ name, partitions: PARTITIONS });
  return engine;
}

/** As an HTTP API under load has them. */
const CALLERS = 2_000;

const engineSend: Role = async ({ url, tell }) => {
  const client = (await registered(url)).partitions();
  return producer((stream, from, count) => {
    const sender = client.producer(stream);
    return lanes(count, CALLERS, (i) => {
      const data = payment(from + i);
      return sender.send({ key: accountKey(data), data });
    });
  }, tell);
};

const engineSendMany: Role = async ({ url, tell }) => {
  const client = (await registered(url)).partitions();
  return producer((stream, from, count) => {
    const sender = client.producer(stream);
    return batches(count, (first, end) =>
      sender.sendMany(
        Array.from({ length: end - first }, (_, i) => {
          const data = payment(from + first + i);
          return { key: accountKey(data), data };
        }),
      ),
    );
  }, tell);
};

export function partitionKey(stream: string, partition: number): string {
  return `${stream}:${partition}`;
}

/** Pipelines of 200 XADDs, to one stream, or to 16 by account. */
function pipelined(streams: number, inFlight = IN_FLIGHT): Role {
  return async ({ url, tell }) => {
    const redis = new Redis(url);
    return producer((stream, from, count) => {
      const keys = Array.from({ length: streams }, (_, i) => partitionKey(stream, i));
      return batches(count, async (first, end) => {
        const pipeline = redis.pipeline();
        for (let i = from + first; i < from + end; i++) {
          const data = payment(i);
          pipeline.xadd(keys[data.account % streams]!, '*', 'data', JSON.stringify(data));
        }
        await pipeline.exec();
      }, inFlight);
    }, tell);
  };
}

const BARE = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'data', ARGV[i]) end return #ARGV";

/** Adds texts to one stream in one call. */
async function bare(url: string): Promise<(stream: string, texts: readonly string[]) => Promise<unknown>> {
  const redis = new Redis(url);
  await redis.script('LOAD', BARE);
  const sha = createHash('sha1').update(BARE).digest('hex');
  return (stream, texts) => redis.evalsha(sha, 1, partitionKey(stream, 0), ...texts);
}

/** The bound: one script call for 200 messages, to one stream, without ids, keys, bounds or resends. */
const bareScript: Role = async ({ url, tell }) => {
  const add = await bare(url);
  return producer((stream, from, count) => {
    return batches(count, (first, end) => add(stream, Array.from({ length: end - first }, (_, i) => JSON.stringify(payment(from + first + i)))));
  }, tell);
};

/** The bound for whoever wants to know of each message: the same calls, but as many callers as ours, each of whom awaits a promise of his message. */
const awaitedScript: Role = async ({ url, tell }) => {
  const add = await bare(url);
  return producer((stream, from, count) => {
    let texts: string[] = [];
    let told: Array<() => void> = [];
    let sent = 0;
    const go = (resolves: ReadonlyArray<() => void>): void => void add(stream, texts).then(() => resolves.forEach((resolve) => resolve()));
    return lanes(count, CALLERS, (i) => new Promise<void>((resolve) => {
      texts.push(JSON.stringify(payment(from + i)));
      told.push(resolve);
      const last = ++sent === count;
      if (texts.length < BATCH && !last) return;
      go(told);
      texts = [];
      told = [];
    }));
  }, tell);
};

export const partitionProducerRoles: Readonly<Record<string, Role>> = {
  'produce-send': engineSend,
  'produce-send-many': engineSendMany,
  'produce-pipeline-1': pipelined(1),
  'produce-pipeline-1-awaited': pipelined(1, 1),
  'produce-pipeline-16': pipelined(PARTITIONS),
  'produce-script': bareScript,
  'produce-script-awaited': awaitedScript,
};
