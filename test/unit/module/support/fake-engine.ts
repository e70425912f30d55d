import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  type LeaseConsumerOptions, type LeaseHandlers, RedisStreamsEngine, RedisStreamsEvents, RedisStreamsModule, type StreamLease,
} from 'nestjs-redis-streams';

/** Stands where the engine would, so that what the module hands to it can be called without a server. */
export class FakeEngine {
  readonly events = new RedisStreamsEvents();
  readonly consumerName = 'fake';
  readonly consumers: Array<{ options: LeaseConsumerOptions; handlers: LeaseHandlers }> = [];
  readonly calls: string[] = [];
  onDrain: () => Promise<void> = () => Promise.resolve();
  onStop: () => Promise<void> = () => Promise.resolve();

  addLeaseConsumer(options: LeaseConsumerOptions, handlers: LeaseHandlers): void {
    this.consumers.push({ options, handlers });
  }

  leases(connection?: string): object {
    return { connection, announce: (service: string, stream: string) => Promise.resolve({ status: 'announced', id: `${service}/${stream}` }) };
  }

  start(): Promise<void> {
    this.calls.push('start');
    return Promise.resolve();
  }

  async drain(): Promise<void> {
    this.calls.push('drain');
    await this.onDrain();
  }

  async stop(): Promise<void> {
    this.calls.push('stop');
    await this.onStop();
  }

  handlers(service: string, connection?: string): LeaseHandlers {
    const found = this.consumers.find(({ options }) => options.service === service && options.connection === connection);
    if (!found) throw new Error(`no consumer of ${service}`);
    return found.handlers;
  }

  /** What the engine does with a grant. */
  async assign(service: string, lease: StreamLease = fakeLease()): Promise<unknown> {
    return this.handlers(service).assigned(lease);
  }
}

export function fakeLease(info: Record<string, unknown> = { amount: 7 }): StreamLease {
  return { service: 'orders', stream: 'order-1', info, token: 42, attempt: 1, signal: new AbortController().signal } as unknown as StreamLease;
}

export interface FakeApp {
  readonly app: TestingModule;
  readonly engine: FakeEngine;
}

/** An initialised application of these parts, and the engine in it. */
export async function appOf(metadata: ModuleMetadata, engine = new FakeEngine()): Promise<FakeApp> {
  const app = await Test.createTestingModule({ ...metadata, imports: [RedisStreamsModule.forRoot(), ...(metadata.imports ?? [])] })
    .overrideProvider(RedisStreamsEngine)
    .useValue(engine)
    .setLogger(false as never)
    .compile();
  await app.init();
  return { app, engine };
}
