import { metric, type Bench } from '../model.js';
import { queueFlow } from './flow.js';

const NEST = '@QueueHandler with @Payload, @Ctx';
const ENGINE = 'engine without Nest';

export const queueNestBench: Bench = {
  name: 'queue-nest',
  about: 'messages per second by one consumer process from a backlog, through Nest and without',
  rounds: { full: 11, short: 0 },
  headline: 'messagesPerSecond',
  contenders: (short) => {
    const flow = { producer: 'queue-produce-engine', messages: short ? 40_000 : 100_000, mode: 'backlog' } as const;
    return [queueFlow({ name: NEST, consumer: 'queue-consume-nest', ...flow }, short), queueFlow({ name: ENGINE, consumer: 'queue-consume-engine', ...flow }, short)];
  },
  ratios: [{ name: 'queue through @QueueHandler: over the engine without Nest', atLeast: 0.85, value: (round) => metric(round, NEST, 'messagesPerSecond') / metric(round, ENGINE, 'messagesPerSecond') }],
};
