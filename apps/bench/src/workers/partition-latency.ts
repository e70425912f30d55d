import { Redis } from 'ioredis';
import { RedisStreamsEngine } from '../engine.js';
import { sentAt, type Payment } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import type { Message } from '../support/worker.js';
import { PARTITIONS } from './partition-producers.js';
import type { Role } from './role.js';

export const LATENCY_STREAM = 'bench';
export const LATENCY_KEY = 'bench:raw';
const GROUP = 'bench';
const BLOCK_MS = 2_000;

type Reply = ReadonlyArray<readonly [stream: string, entries: ReadonlyArray<readonly [id: string, fields: readonly string[]]>]> | null;

function report(tell: (message: Message) => void): (data: Payment) => Promise<void> {
  return async (data) => {
    const now = sharedNow();
    tell({ type: 'handled', ms: now - sentAt(data) });
  };
}

const engine: Role = async ({ url, tell }) => {
  const handle = report(tell);
  const own = new RedisStreamsEngine({ connection: { url } });
  own.registerStream({ name: LATENCY_STREAM, partitions: PARTITIONS });
  let missing = PARTITIONS;
  await new Promise<void>((resolve, reject) => {
    own.addPartitionConsumer({ stream: LATENCY_STREAM, group: GROUP }, {
      message: (data) => handle(data as Payment),
      assigned: ({ partitions }) => {
        missing -= partitions.length;
        if (missing === 0) resolve();
      },
    });
    own.start().catch(reject);
  });
  return async () => undefined;
};

/** The bound: one blocking read of one stream, nothing else; nothing is acknowledged before the handler has run. */
function raw(read: (redis: Redis, after: string) => Promise<Reply>, settle: (redis: Redis, id: string) => Promise<unknown>): Role {
  return async ({ url, tell }) => {
    const handle = report(tell);
    const redis = new Redis(url);
    await redis.xgroup('CREATE', LATENCY_KEY, GROUP, '0', 'MKSTREAM');
    let after = '0-0';
    void (async () => {
      for (;;) {
        const reply = await read(redis, after);
        for (const [id, fields] of reply?.[0]?.[1] ?? []) {
          await handle(JSON.parse(fields[1]!) as Payment);
          await settle(redis, id);
          after = id;
        }
      }
    })();
    return async () => undefined;
  };
}

export const partitionLatencyRoles: Readonly<Record<string, Role>> = {
  'partition-latency-engine': engine,
  'partition-latency-xread': raw(
    (redis, after) => redis.xread('COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', LATENCY_KEY, after) as Promise<Reply>,
    (redis, id) => redis.hset('bench:positions', LATENCY_KEY, id),
  ),
  'partition-latency-xreadgroup': raw(
    (redis) => redis.xreadgroup('GROUP', GROUP, 'raw', 'COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', LATENCY_KEY, '>') as Promise<Reply>,
    (redis, id) => redis.pipeline().xack(LATENCY_KEY, GROUP, id).xdel(LATENCY_KEY, id).exec(),
  ),
};
