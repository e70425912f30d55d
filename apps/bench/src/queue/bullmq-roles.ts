import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Redis as IORedis } from 'ioredis';
import { payment, type Payment } from '../payload.js';
import type { Role } from '../workers/role.js';
import { consumer, number } from './consumers.js';
import { batches, producer } from './producers.js';

/** As much of BullMQ as is used here. */
interface BullMQ {
  readonly Queue: new (name: string, options: object) => { addBulk(jobs: ReadonlyArray<{ name: string; data: unknown }>): Promise<unknown> };
  readonly Worker: new (name: string, handler: (job: { data: unknown }) => Promise<void>, options: object) => { waitUntilReady(): Promise<unknown>; close(): Promise<void> };
}

function load(folder: unknown): { bullmq: BullMQ; Redis: new (url: string, options: object) => IORedis } {
  const require = createRequire(join(String(folder), 'package.json'));
  return { bullmq: require('bullmq') as BullMQ, Redis: (require('ioredis') as { Redis: new (url: string, options: object) => IORedis }).Redis };
}

const JOB = { removeOnComplete: true, removeOnFail: true };

/** addBulk of 200, two in flight. */
const produce: Role = async ({ url, options, tell }) => {
  const { bullmq, Redis } = load(options['folder']);
  const connection = new Redis(url, { maxRetriesPerRequest: null });
  return producer((name, count) => {
    const queue = new bullmq.Queue(name, { connection, defaultJobOptions: JOB });
    return batches(count, 200, (from, to) => queue.addBulk(Array.from({ length: to - from }, (_, i) => ({ name: 'payment', data: payment(from + i) }))));
  }, tell);
};

const consume: Role = consumer(async ({ url, options, queue, meter }) => {
  const { bullmq, Redis } = load(options['folder']);
  const connection = new Redis(url, { maxRetriesPerRequest: null });
  const worker = new bullmq.Worker(queue, async ({ data }) => meter.see(data as Payment), { connection, concurrency: number(options, 'concurrency', 100), ...JOB });
  await worker.waitUntilReady();
  return {
    settled: async () => {
      while (Number(await connection.llen(`bull:${queue}:active`)) > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    },
    stop: async () => {
      await worker.close();
      connection.disconnect();
    },
  };
});

export const queueBullmqRoles: Readonly<Record<string, Role>> = { 'queue-produce-bullmq': produce, 'queue-consume-bullmq': consume };
