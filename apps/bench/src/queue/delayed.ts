import { RedisStreamsEngine } from '../engine.js';
import { metric, type Bench, type Metrics, type Stage, type StandingContender } from '../model.js';
import { FIRST_NUMBER, payment } from '../payload.js';
import { readCounters } from '../support/server-counters.js';
import { percentile } from '../support/stats.js';
import type { Message } from '../support/worker.js';
import { DELAYED_QUEUE, DELAYED_SHARDS } from './delayed-roles.js';

const CONSUMERS = 2;
/** Sent with a delay that no burst lasts; when each is due is said once all are there. */
const FAR_MS = 3_600_000;
/** From then until the first is due. */
const AHEAD_MS = 300;

interface Due {
  readonly name: string;
  readonly messages: number;
  /** They are due evenly spread over so long; 0: all in the same millisecond. */
  readonly withinMs: number;
}

function delayed({ name, messages, withinMs }: Due, short: boolean): StandingContender {
  return {
    name,
    stand: async (stage) => {
      const consumers = await Promise.all(Array.from({ length: CONSUMERS }, () => stage.spawn('queue-delayed-engine')));
      const engine = new RedisStreamsEngine({ connection: { url: stage.redis.url } });
      stage.after(() => engine.stop());
      const queue = engine.queues().queue(DELAYED_QUEUE);
      let see: (begun: ReadonlyArray<readonly [n: number, at: number]>) => void = () => undefined;
      for (const consumer of consumers) consumer.on('begun', (message: Message) => see(message['begun'] as Array<[number, number]>));
      const burst = async (): Promise<Metrics> => {
        const late: number[] = [];
        await queue.sendMany(Array.from({ length: messages }, (_, i) => ({ data: payment(i), delayMs: FAR_MS })));
        const from = Date.now() + AHEAD_MS;
        const dueAt = (n: number): number => from + Math.floor(((n - FIRST_NUMBER) * withinMs) / messages);
        const all = new Promise<void>((resolve) => (see = (begun) => {
          for (const [n, at] of begun) late.push(at - dueAt(n));
          if (late.length === messages) resolve();
        }));
        await makeDue(stage, dueAt);
        if (Date.now() >= from) throw new Error('some were due before all were told when');
        const before = await readCounters(stage.admin);
        await all;
        const { cpuMs, byCommand } = await readCounters(stage.admin);
        const looks = (byCommand.get('xinfo|consumers') ?? 0) - (before.byCommand.get('xinfo|consumers') ?? 0);
        return { p50Ms: percentile(late, 50), p99Ms: percentile(late, 99), maxMs: Math.max(...late), looks, serverCpuUsPerMessage: ((cpuMs - before.cpuMs) * 1_000) / messages };
      };
      for (let i = 0; i < (short ? 1 : 3); i++) await burst();
      return burst;
    },
  };
}

/** Gives each its time, then tells the consumers, as whoever sends one that is due earlier than all others does. */
async function makeDue({ admin }: Stage, dueAt: (n: number) => number): Promise<void> {
  const keys = await admin.keys('*:delayed');
  if (keys.length !== DELAYED_SHARDS) throw new Error(`${keys.length} of ${DELAYED_SHARDS} shards have delayed messages`);
  for (const key of keys) {
    const texts = await admin.zrange(key, '0', '-1');
    await admin.zadd(key, ...texts.flatMap((text) => [String(dueAt(Number(/"n":(\d+)/.exec(text)![1]))), text]));
    await admin.publish(key.replace(/delayed$/, 'bell'), 'look');
  }
}

const FEW: Due = { name: '1,000 due within a second', messages: 1_000, withinMs: 1_000 };
const MANY: Due = { name: '10,000 due within a second', messages: 10_000, withinMs: 1_000 };
const AT_ONCE: Due = { name: '5,000 due in the same millisecond', messages: 5_000, withinMs: 0 };

export const queueDelayedBench: Bench = {
  name: 'queue-delayed',
  about: `how long after its time a delayed message reaches a handler: two consumer processes, ${DELAYED_SHARDS} shards, all options at their defaults`,
  rounds: { full: 15, short: 1 },
  headline: 'p99Ms',
  contenders: (short) => [FEW, MANY, AT_ONCE].map((due) => delayed(due, short)),
  ratios: [
    ...[FEW, MANY].map(({ name }) => ({ name: `${name}: p99, ms late`, atMost: 50, value: (round: Parameters<typeof metric>[0]) => metric(round, name, 'p99Ms') })),
    { name: `${AT_ONCE.name}: p99, ms late`, value: (round) => metric(round, AT_ONCE.name, 'p99Ms') },
  ],
};
