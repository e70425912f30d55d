import type { Redis } from 'ioredis';
import { metric, type Bench, type Contender } from '../model.js';
import { readCounters } from '../support/server-counters.js';

const SEND = 'producer.send';
const PIPELINE = 'ioredis pipeline of 200 XADD, one stream';
const SCRIPT = 'one bare script per 200, one stream';

function contender(name: string, role: string, messages: number): Contender {
  return {
    name,
    round: async ({ admin, spawn }) => {
      const worker = await spawn(role);
      const run = async (stream: string, count: number): Promise<{ ms: number; cpuUs: number }> => {
        const produced = worker.next('produced');
        worker.send({ type: 'produce', stream, from: 0, count });
        const { startAt, endAt, cpuUs } = await produced;
        return { ms: Number(endAt) - Number(startAt), cpuUs: Number(cpuUs) };
      };
      await run('warm', Math.ceil(messages / 4));
      const before = await readCounters(admin);
      const { ms, cpuUs } = await run('work', messages);
      const serverMs = (await readCounters(admin)).cpuMs - before.cpuMs;
      const added = await stored(admin);
      if (added !== messages) throw new Error(`${name}: ${added} of ${messages} messages are in the streams`);
      return { messagesPerSecond: (messages / ms) * 1_000, clientCpuUsPerMessage: cpuUs / messages, serverCpuUsPerMessage: (serverMs * 1_000) / messages };
    },
  };
}

export const partitionProduceBench: Bench = {
  name: 'partition-produce',
  about: 'messages sent per second by one process to 16 partitions',
  rounds: { full: 5, short: 3 },
  headline: 'messagesPerSecond',
  contenders: (short) => {
    const messages = short ? 40_000 : 200_000;
    return [
      contender(SEND, 'produce-send', messages),
      contender('producer.sendMany of 200', 'produce-send-many', messages),
      contender(PIPELINE, 'produce-pipeline-1', messages),
      contender('the same, one pipeline at a time', 'produce-pipeline-1-awaited', messages),
      contender('ioredis pipeline of 200 XADD, 16 streams', 'produce-pipeline-16', messages),
      contender(SCRIPT, 'produce-script', messages),
    ];
  },
  ratios: [
    { name: 'produce, one process: over the ioredis pipeline', atLeast: 2.5, value: (round) => metric(round, SEND, 'messagesPerSecond') / metric(round, PIPELINE, 'messagesPerSecond') },
    { name: 'produce, one process: the bare script over the ioredis pipeline', value: (round) => metric(round, SCRIPT, 'messagesPerSecond') / metric(round, PIPELINE, 'messagesPerSecond') },
    { name: 'produce, one process: over the bare script', value: (round) => metric(round, SEND, 'messagesPerSecond') / metric(round, SCRIPT, 'messagesPerSecond') },
  ],
};

/** Messages in the partitions of `work`, ours or hand-written. */
async function stored(admin: Redis): Promise<number> {
  let sum = 0;
  for (const key of await admin.keys('*work*')) if (/:\d+$/.test(key)) sum += await admin.xlen(key);
  return sum;
}
