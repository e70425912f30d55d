import { metric, type Bench } from '../model.js';
import { backlogContender } from './backlog.js';

const ENGINE = 'lease engine';
const LOOP = 'hand-written loop, XACK + XDEL per batch';
const EACH = 'hand-written loop, XACK + XDEL each';

export const assignDoneBench: Bench = {
  name: 'assign-done',
  about: 'streams from assignment to done per second, empty handlers, three consumer processes',
  rounds: { full: 5, short: 1 },
  headline: 'streamsPerSecond',
  contenders: (short) => {
    const size = { workers: 3, streams: short ? 9_000 : 45_000 };
    return [
      backlogContender({ name: ENGINE, role: 'backlog-engine', produce: 'announce', ...size }),
      backlogContender({ name: LOOP, role: 'backlog-batch', produce: 'xadd', ...size }),
      backlogContender({ name: EACH, role: 'backlog-each', produce: 'xadd', ...size }),
    ];
  },
  ratios: [
    { name: 'assign-done: streams/s over the stated 5,000', atLeast: 1, value: (round) => metric(round, ENGINE, 'streamsPerSecond') / 5_000 },
    { name: 'assign-done: over the hand-written loop (per batch)', value: (round) => metric(round, ENGINE, 'streamsPerSecond') / metric(round, LOOP, 'streamsPerSecond') },
    { name: 'assign-done: over the hand-written loop (each)', value: (round) => metric(round, ENGINE, 'streamsPerSecond') / metric(round, EACH, 'streamsPerSecond') },
  ],
};
