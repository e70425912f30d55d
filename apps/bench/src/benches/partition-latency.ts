import { RedisStreamsEngine } from '../engine.js';
import { metric, type Bench } from '../model.js';
import { accountKey, stamped } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import { idleLatency, type IdleLatency } from '../support/idle-latency.js';
import { LATENCY_KEY, LATENCY_STREAM } from '../workers/partition-latency.js';

const ENGINE: IdleLatency = {
  name: 'send -> handler, 16 partitions',
  role: 'partition-latency-engine',
  open: ({ redis, after }) => {
    const engine = new RedisStreamsEngine({ connection: { url: redis.url } });
    after(() => engine.stop());
    const producer = engine.partitions().producer(LATENCY_STREAM);
    return (i) => {
      const data = stamped(i, sharedNow());
      return producer.send({ key: accountKey(data), data });
    };
  },
};

const open: IdleLatency['open'] = ({ admin }) => (i) => admin.xadd(LATENCY_KEY, '*', 'data', JSON.stringify(stamped(i, sharedNow())));
const XREAD: IdleLatency = { name: 'XADD -> blocking XREAD, one stream', role: 'partition-latency-xread', open };
const GROUP: IdleLatency = { name: 'XADD -> blocking XREADGROUP, one stream', role: 'partition-latency-xreadgroup', open };

export const partitionLatencyBench: Bench = {
  name: 'partition-latency',
  about: 'from sending to the start of the handler in another process, idle',
  rounds: { full: 25, short: 1 },
  headline: 'p50Ms',
  contenders: (short) => [ENGINE, XREAD, GROUP].map((contender) => idleLatency(contender, short)),
  ratios: [
    { name: 'partition latency, idle: p50 over raw blocking XREAD', atMost: 1.3, value: (round) => metric(round, ENGINE.name, 'p50Ms') / metric(round, XREAD.name, 'p50Ms') },
    { name: 'partition latency, idle: p99 over raw blocking XREAD', value: (round) => metric(round, ENGINE.name, 'p99Ms') / metric(round, XREAD.name, 'p99Ms') },
    { name: 'partition latency, idle: p50 over raw blocking XREADGROUP', value: (round) => metric(round, ENGINE.name, 'p50Ms') / metric(round, GROUP.name, 'p50Ms') },
  ],
};
