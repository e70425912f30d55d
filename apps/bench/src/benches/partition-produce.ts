import type { Redis } from 'ioredis';
import { metric, type Bench, type Metrics, type StandingContender } from '../model.js';
import { readCounters } from '../support/server-counters.js';

const SEND = 'producer.send';
const PIPELINE = 'ioredis pipeline of 200 XADD, one stream, two in flight';
const AWAITED = 'ioredis pipeline of 200 XADD, one stream, one at a time';
const SCRIPT = 'one bare script per 200, one stream, two in flight';
const SCRIPT_AWAITED = 'one bare script per 200, a promise for each message';

/** Bursts before the first that counts. */
const WARM_UP = 3;

function contender(name: string, role: string, messages: number): StandingContender {
  return {
    name,
    stand: async ({ admin, spawn }) => {
      const worker = await spawn(role);
      const burst = async (): Promise<Metrics> => {
        const before = await readCounters(admin);
        const produced = worker.next('produced');
        worker.send({ type: 'produce', stream: 'work', from: 0, count: messages });
        const { startAt, endAt, cpuUs } = await produced;
        const serverMs = (await readCounters(admin)).cpuMs - before.cpuMs;
        const added = await taken(admin);
        if (added !== messages) throw new Error(`${name}: ${added} of ${messages} messages are in the streams`);
        return { messagesPerSecond: (messages / (Number(endAt) - Number(startAt))) * 1_000, clientCpuUsPerMessage: Number(cpuUs) / messages, serverCpuUsPerMessage: (serverMs * 1_000) / messages };
      };
      for (let i = 0; i < WARM_UP; i++) await burst();
      return burst;
    },
  };
}

const over = (name: string, other: string) => (round: Parameters<typeof metric>[0]): number => metric(round, name, 'messagesPerSecond') / metric(round, other, 'messagesPerSecond');

export const partitionProduceBench: Bench = {
  name: 'partition-produce',
  about: 'messages sent per second by one process to 16 partitions',
  rounds: { full: 11, short: 3 },
  headline: 'messagesPerSecond',
  contenders: (short) => {
    const messages = short ? 20_000 : 150_000;
    return [
      contender(SEND, 'produce-send', messages),
      contender('producer.sendMany of 200', 'produce-send-many', messages),
      contender(PIPELINE, 'produce-pipeline-1', messages),
      contender(AWAITED, 'produce-pipeline-1-awaited', messages),
      contender('ioredis pipeline of 200 XADD, 16 streams, two in flight', 'produce-pipeline-16', messages),
      contender(SCRIPT, 'produce-script', messages),
      contender(SCRIPT_AWAITED, 'produce-script-awaited', messages),
    ];
  },
  // The goal was set by the pipeline with one at a time; the bare script is what sending through one script can reach at most,
  // and what is left of it for whoever awaits each message says the other one.
  ratios: [
    { name: 'produce, one process: over the ioredis pipeline, one at a time', atLeast: 2.5, value: over(SEND, AWAITED) },
    { name: 'produce, one process: the bare script over the ioredis pipeline, one at a time', value: over(SCRIPT, AWAITED) },
    { name: 'produce, one process: over the ioredis pipeline, two in flight', value: over(SEND, PIPELINE) },
    { name: 'produce, one process: the bare script over the ioredis pipeline, two in flight', value: over(SCRIPT, PIPELINE) },
    { name: 'produce, one process: over the bare script', value: over(SEND, SCRIPT) },
    { name: 'produce, one process: over the bare script with a promise for each message', value: over(SEND, SCRIPT_AWAITED) },
  ],
};

/** Removes the messages from the partitions of `work`, ours or hand-written. @returns how many there were */
async function taken(admin: Redis): Promise<number> {
  let sum = 0;
  for (const key of await admin.keys('*work*')) if (/:\d+$/.test(key)) sum += await admin.xtrim(key, 'MAXLEN', 0);
  return sum;
}
