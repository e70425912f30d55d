import { metric, type Bench, type Contender } from '../model.js';
import { readCounters } from '../support/server-counters.js';

const ENGINE = 'announce()';
const PIPELINE = 'ioredis pipeline of 200 XADD';

function contender(name: string, role: string, count: number): Contender {
  return {
    name,
    round: async ({ admin, spawn }) => {
      const worker = await spawn(role);
      const run = async (from: number, items: number): Promise<{ perSecond: number; cpuUs: number }> => {
        const done = worker.next('announced');
        worker.send({ type: 'run', from, count: items });
        const { perSecond, cpuUs } = await done;
        return { perSecond: Number(perSecond), cpuUs: Number(cpuUs) };
      };
      const warmUp = Math.ceil(count / 4);
      await run(0, warmUp);
      const before = await readCounters(admin);
      const { perSecond, cpuUs } = await run(warmUp, count);
      const serverMs = (await readCounters(admin)).cpuMs - before.cpuMs;
      const added = await admin.xlen('bench-input');
      if (added !== warmUp + count) throw new Error(`${name}: ${added} of ${warmUp + count} announcements are in the stream`);
      return { streamsPerSecond: perSecond, clientCpuUsPerStream: cpuUs, serverCpuUsPerStream: (serverMs * 1_000) / count };
    },
  };
}

export const announceBench: Bench = {
  name: 'announce',
  about: 'streams announced per second by one process',
  rounds: { full: 5, short: 1 },
  headline: 'streamsPerSecond',
  contenders: (short) => {
    const count = short ? 20_000 : 100_000;
    return [
      contender(ENGINE, 'announce-engine', count),
      contender(PIPELINE, 'announce-pipeline', count),
      contender('announce(), dedupe off', 'announce-engine-off', count),
      contender('awaited XADD, 64 in flight', 'announce-single', count),
    ];
  },
  ratios: [
    { name: 'announce: streams/s over the stated 20,000', atLeast: 1, value: (round) => metric(round, ENGINE, 'streamsPerSecond') / 20_000 },
    { name: 'announce: over the ioredis pipeline', value: (round) => metric(round, ENGINE, 'streamsPerSecond') / metric(round, PIPELINE, 'streamsPerSecond') },
    { name: 'announce: over awaited XADD', value: (round) => metric(round, ENGINE, 'streamsPerSecond') / metric(round, 'awaited XADD, 64 in flight', 'streamsPerSecond') },
  ],
};
