import type { DynamicModule } from '@nestjs/common';
import { RedisStreamsModule, type RedisStreamsModuleOptions } from 'nestjs-redis-streams';
import type { RoleConfig } from '../config.js';

/** The library as every role has it; `more` is what the role is about. */
export function library(config: RoleConfig, more: Pick<RedisStreamsModuleOptions, 'lease' | 'partition' | 'fanout' | 'queue' | 'transport'>): DynamicModule {
  return RedisStreamsModule.forRoot({
    connection: { url: config.redisUrl },
    consumerName: config.name,
    session: { ttlMs: config.ttlMs },
    ...more,
  });
}
