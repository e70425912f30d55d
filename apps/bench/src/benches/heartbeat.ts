import { setTimeout as sleep } from 'node:timers/promises';
import { metric, type Bench, type Contender } from '../model.js';
import { readCounters } from '../support/server-counters.js';
import { holdUpTo } from './holding.js';

/** Short, so that a window sees many heartbeats; blocking reads and their renewal are in the count as well. */
const TTL_MS = 900;

function contender(leases: number, windowMs: number): Contender {
  return {
    name: name(leases),
    round: async (stage) => {
      const worker = await stage.spawn('hold', { ttlMs: TTL_MS });
      await holdUpTo(stage, worker, 0, leases);
      await sleep(2 * TTL_MS); // the last grants' echoes
      const before = await readCounters(stage.admin);
      const start = performance.now();
      await sleep(windowMs);
      const after = await readCounters(stage.admin);
      const seconds = (performance.now() - start) / 1_000;
      return {
        commandsPerSecond: (after.commands - before.commands) / seconds,
        serverCpuMsPerSecond: (after.cpuMs - before.cpuMs) / seconds,
      };
    },
  };
}

const name = (leases: number): string => `${leases.toLocaleString('en')} leases`;

export const heartbeatBench: Bench = {
  name: 'heartbeat',
  about: `server commands per second (those inside scripts included) while leases are held, session ttl ${TTL_MS} ms`,
  rounds: { full: 3, short: 1 },
  headline: 'commandsPerSecond',
  contenders: (short) => [10, 10_000].map((leases) => contender(leases, short ? 4_000 : 12_000)),
  ratios: [
    { name: 'heartbeat: commands/s with 10,000 leases over 10', atMost: 1.05, value: (round) => metric(round, name(10_000), 'commandsPerSecond') / metric(round, name(10), 'commandsPerSecond') },
    { name: 'heartbeat: server CPU with 10,000 leases over 10', value: (round) => metric(round, name(10_000), 'serverCpuMsPerSecond') / metric(round, name(10), 'serverCpuMsPerSecond') },
  ],
};
