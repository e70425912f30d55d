import { setTimeout as sleep } from 'node:timers/promises';
import { RedisStreamsEngine } from '../engine.js';
import { metric, type Bench, type Contender, type Stage } from '../model.js';
import { stamped } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import { percentile } from '../support/stats.js';
import { LATENCY_KEY, LATENCY_QUEUE } from './latency-roles.js';

const ENGINE = 'send -> handler';
const RAW = 'XADD -> blocking XREADGROUP';
const WARM_UP = 50;

type Send = (i: number) => Promise<unknown>;

function contender(name: string, role: string, samples: number, open: (stage: Stage) => { send: Send; close(): Promise<void> }): Contender {
  return {
    name,
    round: async (stage) => {
      const consumer = await stage.spawn(role);
      const { send, close } = open(stage);
      const values: number[] = [];
      for (let i = 0; i < WARM_UP + samples; i++) {
        const handled = consumer.next('handled');
        await send(i);
        const { ms } = await handled;
        if (i >= WARM_UP) values.push(Number(ms));
        await sleep(3 + Math.random() * 4); // idle again: settled, and the reader blocks before the next one comes
      }
      await close();
      return { p50Ms: percentile(values, 50), p99Ms: percentile(values, 99) };
    },
  };
}

const viaEngine = ({ redis }: Stage): { send: Send; close(): Promise<void> } => {
  const engine = new RedisStreamsEngine({ connection: { url: redis.url } });
  const queue = engine.queues().queue(LATENCY_QUEUE);
  return { send: (i) => queue.send(stamped(i, sharedNow())), close: () => engine.stop() };
};

const viaXadd = ({ admin }: Stage): { send: Send; close(): Promise<void> } => ({
  send: (i) => admin.xadd(LATENCY_KEY, '*', 'data', JSON.stringify(stamped(i, sharedNow()))),
  close: async () => undefined,
});

export const queueLatencyBench: Bench = {
  name: 'queue-latency',
  about: 'from sending to the start of the handler in another process, idle',
  rounds: { full: 5, short: 1 },
  headline: 'p50Ms',
  contenders: (short) => {
    const samples = short ? 150 : 500;
    return [contender(ENGINE, 'queue-latency-engine', samples, viaEngine), contender(RAW, 'queue-latency-raw', samples, viaXadd)];
  },
  ratios: [
    { name: 'queue latency, idle: p50 over raw blocking XREADGROUP', atMost: 1.3, value: (round) => metric(round, ENGINE, 'p50Ms') / metric(round, RAW, 'p50Ms') },
    { name: 'queue latency, idle: p99 over raw blocking XREADGROUP', value: (round) => metric(round, ENGINE, 'p99Ms') / metric(round, RAW, 'p99Ms') },
  ],
};
