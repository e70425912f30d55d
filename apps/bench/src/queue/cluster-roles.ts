import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { RedisStreamsEngine } from '../engine.js';
import { payment } from '../payload.js';
import { lanes } from '../support/lanes.js';
import type { Role } from '../workers/role.js';
import { number } from './consumers.js';
import { batches, producer } from './producers.js';

const CALLERS = 6_000;
const BATCH = 200;

function nodesOf(options: Parameters<Role>[0]['options']): string[] {
  return String(options['nodes']).split(',');
}

const engine: Role = async ({ options, tell }) => {
  const client = new RedisStreamsEngine({ connection: { cluster: { nodes: nodesOf(options) } } }).queues();
  for (const name of ['warm', 'work']) await client.register({ name, shards: number(options, 'shards', 3) });
  return producer((name, count) => {
    const queue = client.queue(name);
    return lanes(count, CALLERS, (i) => queue.send(payment(i)));
  }, tell);
};

const BARE = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'data', ARGV[i]) end return #ARGV";

/** The bound: a connection to each master, one bare script call per 200 messages to one stream of its own, two in flight each. */
const bare: Role = async ({ options, tell }) => {
  const sha = createHash('sha1').update(BARE).digest('hex');
  const masters = await Promise.all(nodesOf(options).map(async (address) => {
    const redis = new Redis(Number(address.split(':')[1]), address.split(':')[0]!);
    await redis.script('LOAD', BARE);
    const [own] = String(await redis.call('CLUSTER', 'NODES')).split('\n').filter((line) => line.includes('myself')).map((line) => line.trim().split(' ')[8]!.split('-').map(Number));
    let tag = 0;
    for (let slot = -1; slot < own![0]! || slot > own![1]!; tag++) slot = Number(await redis.cluster('KEYSLOT', `{${tag}}`));
    return { redis, tag: tag - 1 };
  }));
  return producer(async (name, count) => {
    const share = Math.ceil(count / masters.length);
    await Promise.all(masters.map(({ redis, tag }, i) =>
      batches(Math.min(share, count - i * share), BATCH, (from, to) =>
        redis.evalsha(sha, 1, `{${tag}}:${name}`, ...Array.from({ length: to - from }, (_, n) => JSON.stringify(payment(i * share + from + n)))))));
  }, tell);
};

export const queueClusterRoles: Readonly<Record<string, Role>> = { 'queue-cluster-engine': engine, 'queue-cluster-bare': bare };
