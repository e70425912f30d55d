import type { INestMicroservice, ModuleMetadata, Type } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { PacketDeserializer, PacketSerializer, TransportOptions } from 'nestjs-redis-streams/transport';
import { RedisStreamsClient, RedisStreamsServer } from 'nestjs-redis-streams/transport';
import { DeadLetters, type RedisStreamsEngine, type RedisStreamsOptions } from 'nestjs-redis-streams';
import { lastValueFrom, toArray } from 'rxjs';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { type RedisServer, startRedis } from '../../../support/redis-server.js';
import { waitUntil } from '../../../support/wait.js';

export type { PacketDeserializer, PacketSerializer, TransportOptions };
export const QUIET = { logger: false as const, abortOnError: false };
/** Retries that a test need not wait for. */
export const SOON = { retry: { initialMs: 20, factor: 1, jitter: 0 } };

export interface Serving {
  readonly app: INestMicroservice;
  readonly server: RedisStreamsServer;
  readonly engine: RedisStreamsEngine;
}

type Options = Omit<RedisStreamsOptions, 'transport'> & { readonly transport?: TransportOptions; readonly url?: string };

/** One Redis of a file, a namespace per test, and the applications and clients that a test's end closes. */
export class Net {
  namespace = '';
  private server: RedisServer | undefined;
  private tests = 0;
  private readonly ends: Array<() => unknown> = [];
  /** What onError of servers and clients was told in this test. */
  readonly errors: string[] = [];

  constructor() {
    beforeAll(async () => void (this.server = await startRedis()));
    beforeEach(() => {
      this.namespace = `t${++this.tests}`;
      this.errors.length = 0;
    });
    afterEach(async () => {
      // The latest first: a proxy outlives what speaks through it.
      for (const end of this.ends.splice(0).reverse()) await end();
    });
    afterAll(() => this.server?.stop());
  }

  get redis(): RedisServer {
    if (!this.server) throw new Error('the server is not there yet');
    return this.server;
  }

  options({ transport, url = this.redis.url, ...more }: Options = {}): RedisStreamsOptions & { transport: TransportOptions } {
    return {
      connection: { url }, session: { ttlMs: 1_000 }, shutdown: { drainMs: 2_000 }, onError: (error) => void this.errors.push(error.message),
      ...more,
      transport: { namespace: this.namespace, service: 'svc', events: SOON, requests: SOON, ...transport },
    };
  }

  onEnd<T>(what: T, end: (what: T) => unknown): T {
    this.ends.push(() => end(what));
    return what;
  }

  /** A microservice of these controllers, or of this module, that listens. */
  async serve(of: readonly Type[] | ModuleMetadata, options?: Options, prepare: (app: INestMicroservice, server: RedisStreamsServer) => unknown = () => undefined): Promise<Serving> {
    const server = new RedisStreamsServer(this.options(options));
    const app = await NestFactory.createMicroservice(moduleOf(of), { ...QUIET, strategy: server });
    this.onEnd(app, () => app.close());
    await prepare(app, server);
    await app.listen();
    return { app, server, engine: server.unwrap<RedisStreamsEngine>() };
  }

  client(options?: Options): RedisStreamsClient {
    return this.onEnd(new RedisStreamsClient(this.options(options)), (client) => client.close());
  }

  /** Dead letters of the queue of an event, a request, or of `unrouted`. */
  async letters(client: RedisStreamsClient, queue: string) {
    const source = { kind: 'queue', queue, namespace: this.namespace } as const;
    await client.connect();
    const dead: DeadLetters = client.unwrap<RedisStreamsEngine>().deadLetters();
    return {
      count: () => dead.count(source),
      list: async () => (await dead.list(source)).letters,
      replayAll: async () => {
        const { letters } = await dead.list(source);
        return dead.replay(source, letters.map(({ entryId }) => entryId));
      },
    };
  }

  stats(client: RedisStreamsClient, queue: string, group: string) {
    return client.unwrap<RedisStreamsEngine>().queues().stats({ queue, namespace: this.namespace }, group);
  }

  /** Keys of this test, besides the queues and groups that are to stay. */
  async keys(pattern = '*'): Promise<string[]> {
    return ((await this.redis.cli('KEYS', pattern)) as string[]).toSorted();
  }

  async replyStreams(): Promise<string[]> {
    return this.keys(`{transport:${this.namespace}:*}:replies`);
  }
}

export function moduleOf(of: readonly Type[] | ModuleMetadata): Type {
  @Module('length' in of ? { controllers: [...of] as Type[] } : (of as ModuleMetadata))
  class App {}
  return App;
}

/** Of a request: its one value; undefined when it has none. */
export function ask<T = unknown>(client: RedisStreamsClient, pattern: unknown, data: unknown): Promise<T> {
  return lastValueFrom(client.send<T>(pattern, data), { defaultValue: undefined as T });
}

/** Of a request: all values. */
export function askAll<T = unknown>(client: RedisStreamsClient, pattern: unknown, data: unknown): Promise<T[]> {
  return lastValueFrom(client.send<T>(pattern, data).pipe(toArray()));
}

/** What a promise was rejected with. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    const value = await promise;
    throw new Error(`it did not fail: ${JSON.stringify(value)}`);
  } catch (error) {
    return error;
  }
}

/** Something that a handler waits for, and a test lets go. */
export class Gate {
  readonly opened: Promise<void>;
  isOpen = false;
  open!: () => void;
  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = () => {
        this.isOpen = true;
        resolve();
      };
    });
  }
}

export { waitUntil };
