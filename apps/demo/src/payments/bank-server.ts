import { findServer } from '../server/find-server.js';
import type { DemoServer } from '../server/server.js';

/** The bank's own Redis, which no scenario touches: what it says counts, whatever becomes of the one that carries the payments. */
export async function startBank(): Promise<DemoServer> {
  return findServer({ ...process.env, REDIS_URL: undefined });
}
