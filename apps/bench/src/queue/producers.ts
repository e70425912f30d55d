import { RedisStreamsEngine } from '../engine.js';
import { payment } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import { lanes } from '../support/lanes.js';
import type { Message } from '../support/worker.js';
import type { Role } from '../workers/role.js';
import { number } from './consumers.js';

/** Callers at a time, as an HTTP API under load has them. */
const CALLERS = 2_000;
/** Batches in flight, so that the next is being written while the last is answered. More than two gain nothing. */
const IN_FLIGHT = 2;

/** Sends payments 0 .. `count - 1`. */
type Produce = (queue: string, count: number) => Promise<unknown>;

export function producer(produce: Produce, tell: (message: Message) => void): Awaited<ReturnType<Role>> {
  return async (message) => {
    const cpu = process.cpuUsage();
    const startAt = sharedNow();
    await produce(String(message['queue']), Number(message['count']));
    const endAt = sharedNow();
    const { user, system } = process.cpuUsage(cpu);
    tell({ type: 'produced', startAt, endAt, cpuUs: user + system });
  };
}

export function batches(count: number, size: number, one: (from: number, to: number) => Promise<unknown>): Promise<void> {
  return lanes(Math.ceil(count / size), IN_FLIGHT, (batch) => one(batch * size, Math.min(count, (batch + 1) * size)));
}

const engine: Role = async ({ url, options, tell }) => {
  const client = new RedisStreamsEngine({ connection: { url } }).queues();
  for (const name of ['warm', 'work']) await client.register({ name, shards: number(options, 'shards', 1) });
  return producer((name, count) => {
    const queue = client.queue(name);
    return lanes(count, CALLERS, (i) => queue.send(payment(i)));
  }, tell);
};

export const queueProducerRoles: Readonly<Record<string, Role>> = { 'queue-produce-engine': engine };
