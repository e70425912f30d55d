import { stopped } from '../benches/partition-flow.js';
import type { Metrics, Stage, StandingContender } from '../model.js';
import { readCounters } from '../support/server-counters.js';
import type { Worker, WorkerOptions } from '../support/worker.js';

export interface FlowOptions {
  readonly name: string;
  readonly producer: string;
  readonly consumer: string;
  /** Of a burst. */
  readonly messages: number;
  readonly options?: WorkerOptions;
  /** `live`: consumed while it is produced; `backlog`: produced before, only consuming is measured. Default live. */
  readonly mode?: 'live' | 'backlog';
}

const QUEUE = 'work';
/** Bursts before the first that counts. */
const WARM_UP = 3;

/** One producer process, one consumer process. */
export function queueFlow({ name, producer: sending, consumer: receiving, messages, options = {}, mode = 'live' }: FlowOptions, short: boolean): StandingContender {
  const run = mode === 'live' ? live : backlog;
  return {
    name,
    stand: async (stage) => {
      const producer = await stage.spawn(sending, options);
      const consumer = await stage.spawn(receiving, options);
      const burst = async (): Promise<Metrics> => {
        const metrics = await run(stage, producer, consumer, QUEUE, messages);
        await stopped(consumer);
        return metrics;
      };
      for (let i = 0; i < (short ? 1 : WARM_UP); i++) await burst();
      return burst;
    },
  };
}

async function live(stage: Stage, producer: Worker, consumer: Worker, queue: string, count: number): Promise<Metrics> {
  const consuming = consumer.next('consuming');
  const consumed = consumer.next('consumed');
  consumer.send({ type: 'consume', queue, count });
  await consuming;
  const before = await readCounters(stage.admin);
  const produced = producer.next('produced');
  producer.send({ type: 'produce', queue, count });
  const [sent, done] = await Promise.all([produced, consumed]);
  const serverMs = (await readCounters(stage.admin)).cpuMs - before.cpuMs;
  return {
    messagesPerSecond: (count / (Number(done['endAt']) - Number(sent['startAt']))) * 1_000,
    producedPerSecond: (count / (Number(sent['endAt']) - Number(sent['startAt']))) * 1_000,
    serverCpuUsPerMessage: (serverMs * 1_000) / count,
    consumerCpuUsPerMessage: Number(done['cpuUs']) / count,
    producerCpuUsPerMessage: Number(sent['cpuUs']) / count,
    cpuUsPerMessage: (serverMs * 1_000 + Number(done['cpuUs']) + Number(sent['cpuUs'])) / count,
  };
}

async function backlog(stage: Stage, producer: Worker, consumer: Worker, queue: string, count: number): Promise<Metrics> {
  const produced = producer.next('produced');
  producer.send({ type: 'produce', queue, count });
  await produced;
  const before = await readCounters(stage.admin);
  const consumed = consumer.next('consumed');
  consumer.send({ type: 'consume', queue, count });
  const done = await consumed;
  const serverMs = (await readCounters(stage.admin)).cpuMs - before.cpuMs;
  return {
    messagesPerSecond: (count / (Number(done['endAt']) - Number(done['firstAt']))) * 1_000,
    serverCpuUsPerMessage: (serverMs * 1_000) / count,
    consumerCpuUsPerMessage: Number(done['cpuUs']) / count,
  };
}
