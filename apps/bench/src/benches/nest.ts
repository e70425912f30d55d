import { metric, type Bench } from '../model.js';
import { backlogContender } from './backlog.js';

const NEST = '@OnStreamAssigned with @Payload, @Ctx';
const ENGINE = 'engine without Nest';

export const nestBench: Bench = {
  name: 'nest',
  about: 'streams from assignment to done per second in one process, through Nest and without',
  rounds: { full: 7, short: 3 },
  headline: 'streamsPerSecond',
  contenders: (short) => {
    const size = { workers: 1, streams: short ? 6_000 : 30_000, produce: 'announce' } as const;
    return [backlogContender({ name: NEST, role: 'backlog-nest', ...size }), backlogContender({ name: ENGINE, role: 'backlog-engine', ...size })];
  },
  ratios: [{ name: 'nest: over the engine without Nest', value: (round) => metric(round, NEST, 'streamsPerSecond') / metric(round, ENGINE, 'streamsPerSecond') }],
};
