import { RedisStreamsEngine } from '../engine.js';
import { metric, type Bench } from '../model.js';
import { stamped } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import { idleLatency, type IdleLatency } from '../support/idle-latency.js';
import { LATENCY_KEY, LATENCY_QUEUE } from './latency-roles.js';

const ENGINE: IdleLatency = {
  name: 'send -> handler',
  role: 'queue-latency-engine',
  open: ({ redis, after }) => {
    const engine = new RedisStreamsEngine({ connection: { url: redis.url } });
    after(() => engine.stop());
    const queue = engine.queues().queue(LATENCY_QUEUE);
    return (i) => queue.send(stamped(i, sharedNow()));
  },
};

const RAW: IdleLatency = {
  name: 'XADD -> blocking XREADGROUP',
  role: 'queue-latency-raw',
  open: ({ admin }) => (i) => admin.xadd(LATENCY_KEY, '*', 'data', JSON.stringify(stamped(i, sharedNow()))),
};

export const queueLatencyBench: Bench = {
  name: 'queue-latency',
  about: 'from sending to the start of the handler in another process, idle',
  rounds: { full: 25, short: 1 },
  headline: 'p50Ms',
  contenders: (short) => [ENGINE, RAW].map((contender) => idleLatency(contender, short)),
  ratios: [
    { name: 'queue latency, idle: p50 over raw blocking XREADGROUP', atMost: 1.3, value: (round) => metric(round, ENGINE.name, 'p50Ms') / metric(round, RAW.name, 'p50Ms') },
    { name: 'queue latency, idle: p99 over raw blocking XREADGROUP', value: (round) => metric(round, ENGINE.name, 'p99Ms') / metric(round, RAW.name, 'p99Ms') },
  ],
};
