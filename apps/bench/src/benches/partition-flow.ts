import type { Metrics, Stage, StandingContender } from '../model.js';
import { readCounters } from '../support/server-counters.js';
import type { Worker } from '../support/worker.js';

export interface FlowOptions {
  readonly name: string;
  readonly producer: string;
  readonly consumer: string;
  /** Of a burst. */
  readonly messages: number;
  /** `live`: consumed while it is produced; `backlog`: produced before, only consuming is measured. */
  readonly mode: 'live' | 'backlog';
}

const STREAM = 'work';
/** Bursts before the first that counts: V8's compiler is not what is to be measured. */
const WARM_UP = 3;

/** One producer process, one consumer process. */
export function flowContender(options: FlowOptions, short: boolean): StandingContender {
  return {
    name: options.name,
    stand: async (stage) => {
      const producer = await stage.spawn(options.producer);
      const consumer = await stage.spawn(options.consumer);
      const run = options.mode === 'live' ? live : backlog;
      const burst = async (): Promise<Metrics> => {
        const { inversions, ...metrics } = await run(stage, producer, consumer, STREAM, options.messages);
        if (inversions !== 0) throw new Error(`${options.name}: ${inversions} messages came out of order`);
        await stopped(consumer);
        return metrics;
      };
      for (let i = 0; i < (short ? 1 : WARM_UP); i++) await burst();
      return burst;
    },
  };
}

/** While it is another's turn, nothing is read. */
export async function stopped(consumer: Worker): Promise<void> {
  const done = consumer.next('stopped');
  consumer.send({ type: 'stop' });
  await done;
}

async function live(stage: Stage, producer: Worker, consumer: Worker, stream: string, count: number): Promise<Metrics> {
  const consuming = consumer.next('consuming');
  const consumed = consumer.next('consumed');
  consumer.send({ type: 'consume', stream, count });
  await consuming;
  const before = await readCounters(stage.admin);
  const produced = producer.next('produced');
  producer.send({ type: 'produce', stream, from: 0, count });
  const [sent, done] = await Promise.all([produced, consumed]);
  const serverMs = (await readCounters(stage.admin)).cpuMs - before.cpuMs;
  return {
    messagesPerSecond: (count / (Number(done['endAt']) - Number(sent['startAt']))) * 1_000,
    producedPerSecond: (count / (Number(sent['endAt']) - Number(sent['startAt']))) * 1_000,
    serverCpuUsPerMessage: (serverMs * 1_000) / count,
    consumerCpuUsPerMessage: Number(done['cpuUs']) / count,
    producerCpuUsPerMessage: Number(sent['cpuUs']) / count,
    cpuUsPerMessage: (serverMs * 1_000 + Number(done['cpuUs']) + Number(sent['cpuUs'])) / count,
    inversions: Number(done['inversions']),
  };
}

async function backlog(stage: Stage, producer: Worker, consumer: Worker, stream: string, count: number): Promise<Metrics> {
  const produced = producer.next('produced');
  producer.send({ type: 'produce', stream, from: 0, count });
  await produced;
  const before = await readCounters(stage.admin);
  const consumed = consumer.next('consumed');
  consumer.send({ type: 'consume', stream, count });
  const done = await consumed;
  const serverMs = (await readCounters(stage.admin)).cpuMs - before.cpuMs;
  return {
    messagesPerSecond: (count / (Number(done['endAt']) - Number(done['firstAt']))) * 1_000,
    serverCpuUsPerMessage: (serverMs * 1_000) / count,
    consumerCpuUsPerMessage: Number(done['cpuUs']) / count,
    inversions: Number(done['inversions']),
  };
}
