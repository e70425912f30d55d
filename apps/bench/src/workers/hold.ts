import { RedisStreamsEngine } from '../engine.js';
import type { Role } from './role.js';

/** Holds every stream it gets. `waiting`: the handler stays in an await until its signal fires, else it returns. */
const hold: Role = async ({ url, options, tell }) => {
  const engine = new RedisStreamsEngine({ connection: { url }, session: { ttlMs: Number(options['ttlMs'] ?? 10_000) } });
  engine.addLeaseConsumer({ service: 'bench', settle: 'manual', maxLeases: 1_000_000 }, {
    assigned: options['waiting'] === true
      ? (lease) => new Promise<void>((resolve) => lease.signal.addEventListener('abort', () => resolve(), { once: true }))
      : async () => undefined,
  });
  await engine.start();
  return async (message) => {
    if (message.type === 'held') return tell({ type: 'held', count: engine.leases().held('bench').length });
    // Several collections, a turn apart: weak references and finalizers need more than one.
    for (let i = 0; i < 4; i++) {
      globalThis.gc?.();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { heapUsed, external, rss } = process.memoryUsage();
    tell({ type: 'memory', heapUsed, external, rss });
  };
};

export const holdRoles: Readonly<Record<string, Role>> = { hold };
