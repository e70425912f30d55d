import { Redis } from 'ioredis';
import { RedisStreamsEngine } from '../engine.js';
import { sharedNow } from '../support/clock.js';
import type { Role } from './role.js';

const SERVICE = 'bench';

const engine: Role = async ({ url, tell }) => {
  const consumer = new RedisStreamsEngine({ connection: { url } });
  consumer.addLeaseConsumer({ service: SERVICE }, {
    assigned: async (lease) => {
      const now = sharedNow();
      tell({ type: 'handled', ms: now - Number(lease.info['sentAt']) });
    },
  });
  await consumer.start();
  return async () => undefined;
};

/** The bound: one blocking read, nothing else. The acknowledgement is not waited for before the handler starts. */
const raw: Role = async ({ url, tell }) => {
  const redis = new Redis(url);
  await redis.xgroup('CREATE', `${SERVICE}-input`, `${SERVICE}-group`, '0', 'MKSTREAM');
  void (async () => {
    for (;;) {
      const reply = (await redis.xreadgroup('GROUP', `${SERVICE}-group`, 'raw', 'COUNT', 1, 'BLOCK', 2_000, 'STREAMS', `${SERVICE}-input`, '>')) as [string, [string, string[]][]][] | null;
      for (const [id, fields] of reply?.[0]?.[1] ?? []) {
        const { Info } = JSON.parse(fields[1]!) as { Info: { sentAt: number } };
        tell({ type: 'handled', ms: sharedNow() - Info.sentAt });
        await redis.pipeline().xack(`${SERVICE}-input`, `${SERVICE}-group`, id).xdel(`${SERVICE}-input`, id).exec();
      }
    }
  })();
  return async () => undefined;
};

export const latencyRoles: Readonly<Record<string, Role>> = { 'latency-engine': engine, 'latency-raw': raw };
