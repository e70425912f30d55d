import { metric, type Bench } from '../model.js';
import { BULLMQ, bullmqFolder } from './bullmq-install.js';
import { queueFlow } from './flow.js';

const ENGINE = 'QueueProducer.send -> message handler';
const RIVAL = `BullMQ ${BULLMQ}: addBulk of 200, two in flight; Worker, concurrency 100, removeOnComplete`;

export const queueBullmqBench: Bench = {
  name: 'queue-bullmq',
  about: 'queue-flow against BullMQ, which is installed into a scratch folder first',
  rounds: { full: 15, short: 0 },
  headline: 'messagesPerSecond',
  unavailable: () => {
    try {
      bullmqFolder();
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  },
  contenders: (short) => [
    queueFlow({ name: ENGINE, producer: 'queue-produce-engine', consumer: 'queue-consume-engine', messages: short ? 40_000 : 60_000 }, short),
    queueFlow({ name: RIVAL, producer: 'queue-produce-bullmq', consumer: 'queue-consume-bullmq', messages: short ? 4_000 : 6_000, options: { folder: bullmqFolder() } }, short),
  ],
  ratios: [
    { name: 'queue end to end: over BullMQ', atLeast: 11, value: (round) => metric(round, ENGINE, 'messagesPerSecond') / metric(round, RIVAL, 'messagesPerSecond') },
    { name: 'queue end to end: CPU per message of all three processes over BullMQ', value: (round) => metric(round, ENGINE, 'cpuUsPerMessage') / metric(round, RIVAL, 'cpuUsPerMessage') },
  ],
};
