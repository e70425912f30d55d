import { Witness } from '../../support/witness.js';
import type { LeaseConsumer, LeaseConsumerOptions, LeaseHandlers, RedisStreamsEngine, RedisStreamsOptions } from './engine.js';

export interface StartOptions extends Omit<LeaseConsumerOptions, 'service' | 'connection'> {
  readonly engine?: RedisStreamsOptions;
}

/** A started consumer that remembers everything that happened to it. */
export class Consumer extends Witness {
  constructor(engine: RedisStreamsEngine, readonly inner: LeaseConsumer, readonly service: string) {
    super(engine);
  }

  get leases(): ReturnType<RedisStreamsEngine['leases']> { return this.engine.leases(); }

  get session(): string | undefined { return this.inner.session; }
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
