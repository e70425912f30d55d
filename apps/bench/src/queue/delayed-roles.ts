import { RedisStreamsEngine } from '../engine.js';
import type { Payment } from '../payload.js';
import type { Role } from '../workers/role.js';

export const DELAYED_QUEUE = 'delayed';
export const DELAYED_SHARDS = 4;
/** What has begun is told together: a message to the bench for each would be what is measured. */
const TELL_EVERY_MS = 50;

/** Notes when each handler has begun, by the clock that the server has too. */
const consumer: Role = async ({ url, tell }) => {
  let begun: Array<[n: number, at: number]> = [];
  const own = new RedisStreamsEngine({ connection: { url } });
  own.registerQueue({ name: DELAYED_QUEUE, shards: DELAYED_SHARDS });
  own.addQueueConsumer({ queue: DELAYED_QUEUE }, {
    message: (data) => {
      if (begun.length === 0) setTimeout(() => (tell({ type: 'begun', begun }), (begun = [])), TELL_EVERY_MS);
      begun.push([(data as Payment).n, Date.now()]);
    },
  });
  await own.start();
  return async () => undefined;
};

export const queueDelayedRoles: Readonly<Record<string, Role>> = { 'queue-delayed-engine': consumer };
