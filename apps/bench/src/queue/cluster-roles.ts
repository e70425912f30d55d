import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { RedisStreamsEngine } from '../engine.js';
import { payment } from '../payload.js';
import { lanes } from '../support/lanes.js';
import type { Role } from '../workers/role.js';
import { number } from './consumers.js';
import { batches, producer } from './producers.js';

/** More are no faster: what waits for so many answers grows old in the collector's eyes. */
const CALLERS = 2_400;
const BATCH = 200;

function nodesOf(options: Parameters<Role>[0]['options']): string[] {
  return String(options['nodes']).split(',');
}

/** `sendMany`: of so many messages; default: each is sent for itself. */
const engine: Role = async ({ options, tell }) => {
  const many = number(options, 'sendMany', 0);
  const client = new RedisStreamsEngine({ connection: { cluster: { nodes: nodesOf(options) } } }).queues();
  for (const name of ['warm', 'work']) await client.register({ name, shards: number(options, 'shards', 3) });
  return producer((name, count) => {
    const queue = client.queue(name);
    if (many === 0) return lanes(count, CALLERS, (i) => queue.send(payment(i)));
    return lanes(Math.ceil(count / many), Math.ceil(CALLERS / many), (batch) =>
      queue.sendMany(Array.from({ length: Math.min(many, count - batch * many) }, (_, n) => ({ data: payment(batch * many + n) }))));
  }, tell);
};

const BARE = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'data', ARGV[i]) end return #ARGV";

interface Master {
  readonly redis: Redis;
  /** Of the keys it serves. */
  readonly tag: number;
}

async function mastersOf(options: Parameters<Role>[0]['options']): Promise<Master[]> {
  return Promise.all(nodesOf(options).map(async (address) => {
    const redis = new Redis(Number(address.split(':')[1]), address.split(':')[0]!);
    await redis.script('LOAD', BARE);
    const [own] = String(await redis.call('CLUSTER', 'NODES')).split('\n').filter((line) => line.includes('myself')).map((line) => line.trim().split(' ')[8]!.split('-').map(Number));
    let tag = 0;
    for (let slot = -1; slot < own![0]! || slot > own![1]!; tag++) slot = Number(await redis.cluster('KEYSLOT', `{${tag}}`));
    return { redis, tag: tag - 1 };
  }));
}

const SHA = createHash('sha1').update(BARE).digest('hex');
const add = ({ redis, tag }: Master, name: string, texts: readonly string[]): Promise<unknown> => redis.evalsha(SHA, 1, `{${tag}}:${name}`, ...texts) as Promise<unknown>;

/** The bound: a connection to each master, one bare script call per 200 messages to one stream of its own, two in flight each. */
const bare: Role = async ({ options, tell }) => {
  const masters = await mastersOf(options);
  return producer(async (name, count) => {
    const share = Math.ceil(count / masters.length);
    await Promise.all(masters.map((master, i) =>
      batches(Math.min(share, count - i * share), BATCH, (from, to) =>
        add(master, name, Array.from({ length: to - from }, (_, n) => JSON.stringify(payment(i * share + from + n)))))));
  }, tell);
};

/** The bound for whoever wants to know of each message: the same calls, but as many callers as ours, each of whom awaits a promise of his message. */
const awaited: Role = async ({ options, tell }) => {
  const masters = await mastersOf(options);
  return producer(async (name, count) => {
    const lines = masters.map((master) => ({ master, texts: [] as string[], told: [] as Array<() => void> }));
    let sent = 0;
    const go = ({ master, ...line }: (typeof lines)[number]): void => void add(master, name, line.texts).then(() => line.told.forEach((resolve) => resolve()));
    await lanes(count, CALLERS, (i) => new Promise<void>((resolve) => {
      const line = lines[i % lines.length]!;
      line.texts.push(JSON.stringify(payment(i)));
      line.told.push(resolve);
      const last = ++sent === count;
      if (line.texts.length < BATCH && !last) return;
      for (const full of last ? lines : [line]) {
        go({ ...full });
        full.texts = [];
        full.told = [];
      }
    }));
  }, tell);
};

export const queueClusterRoles: Readonly<Record<string, Role>> = { 'queue-cluster-engine': engine, 'queue-cluster-bare': bare, 'queue-cluster-awaited': awaited };
