import type { INestApplicationContext, ModuleMetadata, Type } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type PartitionLag, PartitionService, RedisStreamsModule, type RedisStreamsModuleOptions } from 'nestjs-redis-streams';
import { afterEach } from 'vitest';
import type { RedisServer } from '../../../support/redis-server.js';
import { waitUntil } from '../../../support/wait.js';

export const QUIET = { logger: false as const, abortOnError: false };

/** A root module of these parts, on that server. */
export function moduleOf(redis: Pick<RedisServer, 'url'>, metadata: ModuleMetadata, options: RedisStreamsModuleOptions = {}): Type {
  @Module({ ...metadata, imports: [RedisStreamsModule.forRoot({ connection: { url: redis.url }, ...options }), ...(metadata.imports ?? [])] })
  class App {}
  return App;
}

/** Applications that are closed after each test. */
export class Apps {
  private readonly open: INestApplicationContext[] = [];

  constructor() {
    afterEach(() => this.close());
  }

  keep<T extends INestApplicationContext>(app: T): T {
    this.open.push(app);
    return app;
  }

  async context(redis: Pick<RedisServer, 'url'>, metadata: ModuleMetadata, options?: RedisStreamsModuleOptions): Promise<INestApplicationContext> {
    return this.keep(await NestFactory.createApplicationContext(moduleOf(redis, metadata, options), QUIET));
  }

  /** Closes this one, and once only: Nest 11 runs the hooks again at a second close. Without one: all. */
  async close(one?: INestApplicationContext): Promise<void> {
    const closing = one ? this.open.splice(this.open.indexOf(one), 1) : this.open.splice(0);
    await Promise.all(closing.map((app) => app.close()));
  }
}

/** Everything sent has been handled and committed by the group. @returns its partitions at that moment */
export async function committed(app: INestApplicationContext, stream: string, group = 'g'): Promise<PartitionLag[]> {
  const service = app.get(PartitionService);
  let lags: PartitionLag[] = [];
  await waitUntil(async () => (lags = await service.lag({ stream, group })).every(({ lag }) => lag === 0), { what: `${group} has committed all of ${stream}` });
  return lags;
}

/** Connections the server still has besides the one that asks. */
export async function clients(redis: RedisServer): Promise<number> {
  return String(await redis.cli('CLIENT', 'LIST')).trim().split('\n').length - 1;
}
