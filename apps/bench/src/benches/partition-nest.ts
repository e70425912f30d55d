import { metric, type Bench } from '../model.js';
import { flowContender } from './partition-flow.js';

const NEST = '@PartitionHandler with @Payload, @Ctx';
const ENGINE = 'engine without Nest';

export const partitionNestBench: Bench = {
  name: 'partition-nest',
  about: 'messages per second by one consumer process from a backlog in 16 partitions, through Nest and without',
  rounds: { full: 11, short: 3 },
  headline: 'messagesPerSecond',
  contenders: (short) => {
    const flow = { producer: 'produce-send', messages: short ? 40_000 : 100_000, mode: 'backlog' } as const;
    return [flowContender({ name: NEST, consumer: 'consume-nest', ...flow }, short), flowContender({ name: ENGINE, consumer: 'consume-engine', ...flow }, short)];
  },
  ratios: [{ name: 'partition through @PartitionHandler: over the engine without Nest', atLeast: 0.85, value: (round) => metric(round, NEST, 'messagesPerSecond') / metric(round, ENGINE, 'messagesPerSecond') }],
};
