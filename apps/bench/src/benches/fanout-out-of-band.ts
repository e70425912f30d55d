import { setTimeout as sleep } from 'node:timers/promises';
import { RedisStreamsEngine } from '../engine.js';
import { metric, type Bench, type Contender, type Stage } from '../model.js';
import { stamped } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import { percentile } from '../support/stats.js';
import type { Worker } from '../support/worker.js';
import { BLOCKED_ROOM } from '../workers/fanout-out-of-band.js';

const ENGINE = 'sendOutOfBand() -> handler, room blocked';
const RAW = 'PUBLISH -> SUBSCRIBE';
const WARM_UP = 50;
const MOST_MS = 50;

type Send = (i: number) => Promise<unknown>;

function contender(name: string, role: string, samples: number, open: (stage: Stage, worker: Worker) => Promise<{ send: Send; close(): Promise<void> }>): Contender {
  return {
    name,
    round: async (stage) => {
      const worker = await stage.spawn(role);
      const { send, close } = await open(stage, worker);
      const values: number[] = [];
      for (let i = 0; i < WARM_UP + samples; i++) {
        const handled = worker.next('handled');
        await send(i);
        const { ms } = await handled;
        if (i >= WARM_UP) values.push(Number(ms));
        await sleep(1 + Math.random() * 4); // idle again
      }
      await close();
      return { p50Ms: percentile(values, 50), p99Ms: percentile(values, 99) };
    },
  };
}

const viaEngine = async ({ redis }: Stage, worker: Worker): Promise<{ send: Send; close(): Promise<void> }> => {
  const engine = new RedisStreamsEngine({ connection: { url: redis.url } });
  const fanout = engine.fanout();
  const blocked = worker.next('blocked');
  // More behind it, so that the room is not only busy but behind.
  for (let i = 0; i < 100; i++) await fanout.send(BLOCKED_ROOM, stamped(i, sharedNow()));
  await blocked;
  return { send: (i) => fanout.sendOutOfBand(BLOCKED_ROOM, stamped(i, sharedNow())), close: () => engine.stop() };
};

const viaPublish = async ({ admin }: Stage): Promise<{ send: Send; close(): Promise<void> }> => ({
  send: (i) => admin.publish(BLOCKED_ROOM, JSON.stringify(stamped(i, sharedNow()))),
  close: async () => undefined,
});

export const fanoutOutOfBandBench: Bench = {
  name: 'fanout-out-of-band',
  about: 'from sending out of band to the handler in another process, while the room waits for an acknowledgement that never comes',
  rounds: { full: 5, short: 1 },
  headline: 'p50Ms',
  contenders: (short) => {
    const samples = short ? 100 : 500;
    return [contender(ENGINE, 'fanout-oob-engine', samples, viaEngine), contender(RAW, 'fanout-oob-raw', samples, viaPublish)];
  },
  ratios: [
    { name: `fanout-out-of-band: p99 over the stated ${MOST_MS} ms`, atMost: 1, value: (round) => metric(round, ENGINE, 'p99Ms') / MOST_MS },
    { name: 'fanout-out-of-band: p50 over PUBLISH', value: (round) => metric(round, ENGINE, 'p50Ms') / metric(round, RAW, 'p50Ms') },
  ],
};
