import { waitUntil } from '../../../support/wait.js';
import type {
  LeaseConsumer, LeaseConsumerOptions, LeaseHandlers, RedisStreamsEngine, RedisStreamsEvent, RedisStreamsEventName, RedisStreamsOptions,
} from './engine.js';

export interface StartOptions extends Omit<LeaseConsumerOptions, 'service' | 'connection'> {
  readonly engine?: RedisStreamsOptions;
}

/** A started consumer that remembers everything that happened to it. */
export class Consumer {
  readonly events: RedisStreamsEvent[] = [];
  readonly errors: Error[] = [];

  constructor(readonly engine: RedisStreamsEngine, readonly inner: LeaseConsumer, readonly service: string) {
    engine.events.onAny((event) => this.events.push(event));
    engine.events.on('error', ({ error }) => this.errors.push(error));
  }

  get leases(): ReturnType<RedisStreamsEngine['leases']> { return this.engine.leases(); }

  get session(): string | undefined { return this.inner.session; }

  all<K extends RedisStreamsEventName>(type: K): Array<Extract<RedisStreamsEvent, { type: K }>> {
    return this.events.filter((event): event is Extract<RedisStreamsEvent, { type: K }> => event.type === type);
  }

  async saw<K extends RedisStreamsEventName>(type: K, count = 1, timeoutMs = 10_000): Promise<Array<Extract<RedisStreamsEvent, { type: K }>>> {
    await waitUntil(() => this.all(type).length >= count, { what: `${count} events ${type}`, timeoutMs });
    return this.all(type);
  }
}

export async function startConsumer(
  make: (options: RedisStreamsOptions) => RedisStreamsEngine, service: string,
  handlers: LeaseHandlers | LeaseHandlers['assigned'], { engine: options, ...tuning }: StartOptions,
): Promise<Consumer> {
  const engine = make(options ?? {});
  const inner = engine.addLeaseConsumer({ service, ...tuning }, typeof handlers === 'function' ? { assigned: handlers } : handlers);
  const consumer = new Consumer(engine, inner, service);
  await engine.start();
  return consumer;
}
