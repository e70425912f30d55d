import { RedisStreamsEngine, type PartitionHandlers } from '../engine.js';
import type { Payment } from '../payload.js';
import { Meter } from '../support/meter.js';
import type { Role } from './role.js';
import { PARTITIONS } from './partition-producers.js';

const GROUP = 'bench';

/** What consumes one stream until it is stopped. */
export interface Consumption {
  /** Resolves when what was handled is acknowledged, as the server sees it. */
  settled(): Promise<void>;
  stop(): Promise<unknown>;
}

/** Begins to consume; resolves when it does. */
export type Consume = (url: string, stream: string, meter: Meter) => Promise<Consumption>;

/** Consumes one stream after the other, as told, in a process that stays warm. */
export function consumer(consume: Consume): Role {
  return async ({ url, tell }) => {
    let current: Consumption | undefined;
    return async (message) => {
      await current?.stop();
      current = undefined;
      if (message.type !== 'consume') return tell({ type: 'stopped' });
      const meter = new Meter(async () => current?.settled());
      const done = meter.expect(Number(message['count']));
      current = await consume(url, String(message['stream']), meter);
      meter.begin();
      tell({ type: 'consuming' });
      void done.then((consumed) => tell({ type: 'consumed', ...consumed }));
    };
  };
}

/** Resolves when the group has committed everything that is in the stream. */
export async function allCommitted(own: RedisStreamsEngine, stream: string): Promise<void> {
  for (;;) {
    const rows = await own.partitions().lag({ stream, group: GROUP });
    if (rows.every(({ lag }) => lag === 0)) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function engine(handlers: (meter: Meter) => PartitionHandlers, batch?: number): Role {
  return consumer(async (url, stream, meter) => {
    const own = new RedisStreamsEngine({ connection: { url } });
    own.registerStream({ name: stream, partitions: PARTITIONS });
    let missing = PARTITIONS;
    const assigned = new Promise<void>((resolve) => {
      own.addPartitionConsumer({ stream, group: GROUP, ...(batch === undefined ? {} : { batch }) }, {
        ...handlers(meter),
        assigned: ({ partitions }) => {
          missing -= partitions.length;
          if (missing === 0) resolve();
        },
      });
    });
    await own.start();
    await assigned;
    return { settled: () => allCommitted(own, stream), stop: () => own.stop() };
  });
}

export const partitionConsumerRoles: Readonly<Record<string, Role>> = {
  'consume-engine': engine((meter) => ({ message: async (data) => meter.see(data as Payment) })),
  'consume-engine-batch': engine((meter) => ({ batch: async (data) => (data as Payment[]).forEach((one) => meter.see(one)) }), 100),
};
