import { RedisStreamsEngine } from '../engine.js';
import type { Role } from './role.js';

/** Joins rooms in which nothing happens. */
const idle: Role = async ({ url, options, tell }) => {
  const engine = new RedisStreamsEngine({ connection: { url }, session: { ttlMs: Number(options['ttlMs'] ?? 10_000) } });
  await engine.start();
  const fanout = engine.fanout();
  const ids = new Set<string>();
  const handler = async (): Promise<void> => undefined;
  return async (message) => {
    if (message.type === 'join') {
      const { from, to } = message as unknown as { from: number; to: number };
      const start = performance.now();
      const subscriptions = await Promise.all(Array.from({ length: to - from }, (_, i) => fanout.join(`idle-${from + i}`, handler)));
      const ms = performance.now() - start;
      for (const { subscriber } of subscriptions) ids.add(subscriber);
      return tell({ type: 'joined', ms, unique: ids.size });
    }
    // Several collections, a turn apart: weak references and finalizers need more than one.
    for (let i = 0; i < 4; i++) {
      globalThis.gc?.();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { heapUsed, external } = process.memoryUsage();
    tell({ type: 'memory', heap: heapUsed + external });
  };
};

export const fanoutIdleRoles: Readonly<Record<string, Role>> = { 'fanout-idle': idle };
