import { RedisStreamsEngine } from '../engine.js';
import type { Payment } from '../payload.js';
import type { WorkerOptions } from '../support/worker.js';
import type { Role } from '../workers/role.js';
import { QueueMeter } from './meter.js';

/** What consumes one queue until it is stopped. */
export interface Consumption {
  /** Resolves when what was handled is gone from the server. */
  settled(): Promise<void>;
  stop(): Promise<unknown>;
}

/** Begins to consume; resolves when it does. */
export type Consume = (context: { readonly url: string; readonly options: WorkerOptions; readonly queue: string; readonly meter: QueueMeter }) => Promise<Consumption>;

/** Consumes one queue after the other, as told, in a process that stays warm. */
export function consumer(consume: Consume): Role {
  return async ({ url, options, tell }) => {
    let current: Consumption | undefined;
    return async (message) => {
      await current?.stop();
      current = undefined;
      if (message.type !== 'consume') return tell({ type: 'stopped' });
      const meter = new QueueMeter(async () => current?.settled());
      const done = meter.expect(Number(message['count']));
      current = await consume({ url, options, queue: String(message['queue']), meter });
      meter.begin();
      tell({ type: 'consuming' });
      void done.then((consumed) => tell({ type: 'consumed', ...consumed }));
    };
  };
}

/** Resolves when nothing is left in the queue. */
export async function emptied(own: RedisStreamsEngine, queue: string): Promise<void> {
  while ((await own.queues().stats(queue)).messages > 0) await new Promise((resolve) => setTimeout(resolve, 1));
}

export function number(options: WorkerOptions, name: string, otherwise: number): number {
  return Number(options[name] ?? otherwise);
}

const engine = consumer(async ({ url, options, queue, meter }) => {
  const own = new RedisStreamsEngine({ connection: { url } });
  own.registerQueue({ name: queue, shards: number(options, 'shards', 1) });
  const tuning = options['prefetch'] === undefined ? {} : { prefetch: Number(options['prefetch']) };
  own.addQueueConsumer({ queue, ...tuning }, { message: async (data) => meter.see(data as Payment) });
  await own.start();
  return { settled: () => emptied(own, queue), stop: () => own.stop() };
});

export const queueConsumerRoles: Readonly<Record<string, Role>> = { 'queue-consume-engine': engine };
