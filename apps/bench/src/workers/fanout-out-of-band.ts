import { Redis } from 'ioredis';
import { RedisStreamsEngine } from '../engine.js';
import { sentAt, type Payment } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import type { Role } from './role.js';

export const BLOCKED_ROOM = 'blocked';

/** Never ends what is waited for, and reports what comes beside it. */
const engine: Role = async ({ url, tell }) => {
  const own = new RedisStreamsEngine({ connection: { url } });
  await own.start();
  await own.fanout().join(BLOCKED_ROOM, (data, { outOfBand }) => {
    const now = sharedNow();
    if (outOfBand) return tell({ type: 'handled', ms: now - sentAt(data as Payment) });
    tell({ type: 'blocked' });
    return new Promise(() => undefined);
  });
  return async () => undefined;
};

/** The bound: a plain subscription. */
const raw: Role = async ({ url, tell }) => {
  const redis = new Redis(url);
  redis.on('message', (_, text: string) => tell({ type: 'handled', ms: sharedNow() - sentAt(JSON.parse(text) as Payment) }));
  await redis.subscribe(BLOCKED_ROOM);
  return async () => undefined;
};

export const fanoutOutOfBandRoles: Readonly<Record<string, Role>> = { 'fanout-oob-engine': engine, 'fanout-oob-raw': raw };
