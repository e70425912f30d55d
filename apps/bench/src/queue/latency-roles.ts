import { Redis } from 'ioredis';
import { RedisStreamsEngine } from '../engine.js';
import { sentAt, type Payment } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import type { Message } from '../support/worker.js';
import type { Role } from '../workers/role.js';

export const LATENCY_QUEUE = 'bench';
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
  own.registerQueue({ name: LATENCY_QUEUE });
  own.addQueueConsumer({ queue: LATENCY_QUEUE }, { message: (data) => handle(data as Payment) });
  await own.start();
  return async () => undefined;
};

/** The bound: one blocking read of one stream, nothing else; nothing is acknowledged before the handler has run. */
const raw: Role = async ({ url, tell }) => {
  const handle = report(tell);
  const redis = new Redis(url);
  await redis.xgroup('CREATE', LATENCY_KEY, GROUP, '0', 'MKSTREAM');
  void (async () => {
    for (;;) {
      const reply = (await redis.xreadgroup('GROUP', GROUP, 'raw', 'COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', LATENCY_KEY, '>')) as Reply;
      for (const [id, fields] of reply?.[0]?.[1] ?? []) {
        await handle(JSON.parse(fields[1]!) as Payment);
        await redis.pipeline().xack(LATENCY_KEY, GROUP, id).xdel(LATENCY_KEY, id).exec();
      }
    }
  })();
  return async () => undefined;
};

export const queueLatencyRoles: Readonly<Record<string, Role>> = { 'queue-latency-engine': engine, 'queue-latency-raw': raw };
