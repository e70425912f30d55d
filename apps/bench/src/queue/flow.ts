import type { Contender, Metrics, Stage } from '../model.js';
import { readCounters } from '../support/server-counters.js';
import type { Worker, WorkerOptions } from '../support/worker.js';

export interface FlowOptions {
  readonly name: string;
  readonly producer: string;
  readonly consumer: string;
  readonly messages: number;
  readonly options?: WorkerOptions;
  /** `live`: consumed while it is produced; `backlog`: produced before, only consuming is measured. Default live. */
  readonly mode?: 'live' | 'backlog';
}

/** One producer process, one consumer process; a quarter of the messages goes through another queue first, to warm up. */
export function queueFlow({ name, producer: sending, consumer: receiving, messages, options = {}, mode = 'live' }: FlowOptions): Contender {
  const run = mode === 'live' ? live : backlog;
  return {
    name,
    round: async (stage) => {
      const producer = await stage.spawn(sending, options);
      const consumer = await stage.spawn(receiving, options);
      await run(stage, producer, consumer, 'warm', Math.ceil(messages / 4));
      return run(stage, producer, consumer, 'work', messages);
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
