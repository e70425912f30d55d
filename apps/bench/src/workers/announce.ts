import { Redis } from 'ioredis';
import { RedisStreamsEngine, type AnnounceOptions } from '../engine.js';
import { announcement, order, streamName } from '../payload.js';
import { lanes } from '../support/lanes.js';
import type { Role } from './role.js';

const SERVICE = 'bench';
const LBS = 'bench-input';

/** Announces items `from` .. `from + count - 1`. */
type Announce = (from: number, count: number) => Promise<void>;

/** Warms up on `run`'s first message as on any other: the bench decides what counts. */
function producer(announce: Announce, tell: (message: { type: string; [key: string]: unknown }) => void): Awaited<ReturnType<Role>> {
  return async (message) => {
    const from = Number(message['from']);
    const count = Number(message['count']);
    const cpu = process.cpuUsage();
    const start = performance.now();
    await announce(from, count);
    const ms = performance.now() - start;
    const used = process.cpuUsage(cpu);
    tell({ type: 'announced', perSecond: (count / ms) * 1_000, cpuUs: (used.user + used.system) / count });
  };
}

function engine(dedupe: NonNullable<AnnounceOptions['dedupe']>): Role {
  return async ({ url, tell }) => {
    const client = new RedisStreamsEngine({ connection: { url } }).leases();
    // 2,000 callers at a time, as an HTTP API under load has them.
    return producer((from, count) => lanes(count, 2_000, (i) => client.announce(SERVICE, streamName(from + i), order(from + i), { dedupe })), tell);
  };
}

const pipelined: Role = async ({ url, tell }) => {
  const redis = new Redis(url);
  const size = 200;
  return producer(
    // Two in flight, so that the next is being written while the last is answered: the best of 1, 2 and 4.
    (from, count) => lanes(Math.ceil(count / size), 2, async (batch) => {
      const pipeline = redis.pipeline();
      for (let i = from + batch * size; i < from + Math.min(count, (batch + 1) * size); i++) pipeline.xadd(LBS, '*', 'lbs-input', announcement(streamName(i), i));
      await pipeline.exec();
    }),
    tell,
  );
};

const single: Role = async ({ url, tell }) => {
  const redis = new Redis(url);
  return producer((from, count) => lanes(count, 64, (i) => redis.xadd(LBS, '*', 'lbs-input', announcement(streamName(from + i), from + i))), tell);
};

export const announceRoles: Readonly<Record<string, Role>> = {
  'announce-engine': engine('queued'),
  'announce-engine-off': engine('off'),
  'announce-pipeline': pipelined,
  'announce-single': single,
};
