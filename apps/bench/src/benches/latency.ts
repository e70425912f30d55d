import { RedisStreamsEngine } from '../engine.js';
import { metric, type Bench } from '../model.js';
import { streamName } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import { idleLatency, type IdleLatency } from '../support/idle-latency.js';

const ENGINE: IdleLatency = {
  name: 'announce() -> handler',
  role: 'latency-engine',
  open: ({ redis, after }) => {
    const engine = new RedisStreamsEngine({ connection: { url: redis.url } });
    after(() => engine.stop());
    return (i) => engine.leases().announce('bench', streamName(i), { sentAt: sharedNow() });
  },
};

const open: IdleLatency['open'] = ({ admin }) => (i) => admin.xadd('bench-input', '*', 'lbs-input', JSON.stringify({ DataStreamName: streamName(i), Info: { sentAt: sharedNow() } }));
const RAW: IdleLatency = { name: 'XADD -> blocking XREADGROUP', role: 'latency-raw', open };
const PLAIN: IdleLatency = { name: 'XADD -> handler', role: 'latency-engine', open };

export const latencyBench: Bench = {
  name: 'latency',
  about: 'from announcing to the start of the handler in another process, idle',
  rounds: { full: 25, short: 1 },
  headline: 'p50Ms',
  contenders: (short) => [ENGINE, RAW, PLAIN].map((contender) => idleLatency(contender, short)),
  ratios: [
    { name: 'latency: p50 over raw blocking XREADGROUP', value: (round) => metric(round, ENGINE.name, 'p50Ms') / metric(round, RAW.name, 'p50Ms') },
    { name: 'latency: p99 over raw blocking XREADGROUP', value: (round) => metric(round, ENGINE.name, 'p99Ms') / metric(round, RAW.name, 'p99Ms') },
  ],
};
