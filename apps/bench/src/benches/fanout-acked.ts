import { Redis } from 'ioredis';
import { RedisStreamsEngine } from '../engine.js';
import { metric, type Bench, type Contender, type Stage } from '../model.js';
import { payment } from '../payload.js';
import { percentile } from '../support/stats.js';
import { DONE_CHANNEL, roomName } from '../workers/fanout-lockstep.js';

const ENGINE = `send(..., { await: 'acked' })`;
const RAW = 'publish, then a script call per subscriber';
const MEMBERS = 3;
const WARM_UP = 100;

type Send = (i: number) => Promise<unknown>;

function contender(name: string, role: string, samples: number, open: (stage: Stage) => Promise<{ send: Send; close(): Promise<unknown> }>): Contender {
  return {
    name,
    round: async (stage) => {
      const total = WARM_UP + samples;
      await Promise.all(Array.from({ length: MEMBERS }, () => stage.spawn(role, { rooms: 1, members: MEMBERS, messages: total, warm: 1, keeper: false })));
      const { send, close } = await open(stage);
      const values: number[] = [];
      for (let i = 0; i < total; i++) {
        const start = performance.now();
        await send(i);
        if (i >= WARM_UP) values.push(performance.now() - start);
      }
      await close();
      return { p50Ms: percentile(values, 50), p99Ms: percentile(values, 99) };
    },
  };
}

const viaEngine = async ({ redis }: Stage): Promise<{ send: Send; close(): Promise<unknown> }> => {
  const engine = new RedisStreamsEngine({ connection: { url: redis.url } });
  return { send: (i) => engine.fanout().send(roomName(0), payment(i), { await: 'acked' }), close: () => engine.stop() };
};

const viaScript = async ({ redis }: Stage): Promise<{ send: Send; close(): Promise<unknown> }> => {
  const client = new Redis(redis.url);
  const listener = new Redis(redis.url);
  let told: (() => void) | undefined;
  listener.on('message', () => told?.());
  await listener.subscribe(DONE_CHANNEL);
  return {
    send: async (i) => {
      const acked = new Promise<void>((resolve) => (told = resolve));
      await client.publish(roomName(0), JSON.stringify(payment(i)));
      await acked;
    },
    close: async () => {
      client.disconnect();
      listener.disconnect();
    },
  };
};

export const fanoutAckedBench: Bench = {
  name: 'fanout-acked',
  about: 'sending to a room of three processes until all have acknowledged, one after the other',
  rounds: { full: 5, short: 0 },
  headline: 'p50Ms',
  contenders: (short) => {
    const samples = short ? 200 : 2_000;
    return [contender(ENGINE, 'fanout-engine', samples, viaEngine), contender(RAW, 'fanout-raw', samples, viaScript)];
  },
  ratios: [
    { name: 'fanout-acked: p50 over script + publish', value: (round) => metric(round, ENGINE, 'p50Ms') / metric(round, RAW, 'p50Ms') },
    { name: 'fanout-acked: p99 over script + publish', value: (round) => metric(round, ENGINE, 'p99Ms') / metric(round, RAW, 'p99Ms') },
  ],
};
