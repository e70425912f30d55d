import { metric, type Bench, type Contender } from '../model.js';
import { readCounters } from '../support/server-counters.js';
import { holdUpTo } from './holding.js';

const RETURNED = 'handler returned, settle manual';
const WAITING = 'handler awaits its signal';
const LEASES = 10_000;
/** Held before the first look, so that code and buffers are there already. */
const WARM_UP = 1_000;

function contender(name: string, waiting: boolean): Contender {
  return {
    name,
    round: async (stage) => {
      const worker = await stage.spawn('hold', { waiting });
      const look = async (): Promise<{ heap: number; external: number; rss: number; server: number }> => {
        const reply = worker.next('memory');
        worker.send({ type: 'memory' });
        const { heapUsed, external, rss } = await reply;
        return { heap: Number(heapUsed), external: Number(external), rss: Number(rss), server: (await readCounters(stage.admin)).usedMemoryBytes };
      };
      await holdUpTo(stage, worker, 0, WARM_UP);
      const before = await look();
      await holdUpTo(stage, worker, WARM_UP, WARM_UP + LEASES);
      const after = await look();
      return {
        heapBytesPerLease: (after.heap - before.heap) / LEASES,
        externalBytesPerLease: (after.external - before.external) / LEASES,
        rssBytesPerLease: (after.rss - before.rss) / LEASES,
        serverBytesPerLease: (after.server - before.server) / LEASES,
      };
    },
  };
}

export const memoryBench: Bench = {
  name: 'memory',
  about: `growth per held idle lease, from ${WARM_UP.toLocaleString('en')} leases to ${(WARM_UP + LEASES).toLocaleString('en')}, after garbage collection`,
  rounds: { full: 3, short: 1 },
  headline: 'heapBytesPerLease',
  contenders: () => [contender(RETURNED, false), contender(WAITING, true)],
  ratios: [RETURNED, WAITING].map((name) => ({
    name: `memory: heap per lease over the stated 2,048 B, ${name}`,
    atMost: 1,
    value: (round) => (metric(round, name, 'heapBytesPerLease') + metric(round, name, 'externalBytesPerLease')) / 2_048,
  })),
};
