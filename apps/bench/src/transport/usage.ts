import type { Message } from '../support/worker.js';

/** CPU time of this process so far. */
export function usage(): Message {
  const { user, system } = process.cpuUsage();
  return { type: 'usage', cpuUs: user + system };
}
