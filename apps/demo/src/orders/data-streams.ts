import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Redis } from 'ioredis';
import { readConfig } from '../config.js';

const COUNTER = 'order-stream:counter';

/** The data streams themselves: plain Redis streams, which the library leases but neither writes nor deletes. */
@Injectable()
export class DataStreams implements OnApplicationShutdown {
  readonly redis = new Redis(readConfig().redisUrl, { maxRetriesPerRequest: null });

  constructor() {
    // Reconnecting is ioredis's business, and the library's own connections tell of outages.
    this.redis.on('error', () => undefined);
  }

  /** Numbers that no producer on this server gets twice. @returns the first of `count`. */
  async reserve(count: number): Promise<number> {
    return (await this.redis.incrby(COUNTER, count)) - count + 1;
  }

  async write(streams: ReadonlyArray<{ readonly stream: string; readonly entries: ReadonlyArray<Record<string, string>> }>): Promise<void> {
    const pipeline = this.redis.pipeline();
    for (const { stream, entries } of streams) for (const entry of entries) pipeline.xadd(stream, '*', ...Object.entries(entry).flat());
    const failed = (await pipeline.exec())?.find(([error]) => error)?.[0];
    if (failed) throw failed;
  }

  length(stream: string): Promise<number> {
    return this.redis.xlen(stream);
  }

  async remove(stream: string): Promise<void> {
    await this.redis.del(stream);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.redis.quit().catch(() => this.redis.disconnect());
  }
}
