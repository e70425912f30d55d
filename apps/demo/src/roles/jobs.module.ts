import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { RedisStreamsModule } from 'nestjs-redis-streams';
import type { RoleConfig } from '../config.js';
import { JOBS, SHARDS } from '../jobs/job.js';
import { TimeClock } from '../jobs/time-clock.js';
import { library } from './library.js';

@Module({})
export class JobsModule {
  /** Processors and the sender are this: the library, the queue, the time clock, and their own part. */
  static of(config: RoleConfig, providers: Provider[]): DynamicModule {
    return {
      module: JobsModule,
      imports: [library(config, { queue: { namespace: config.service } }), RedisStreamsModule.registerQueue({ name: JOBS, shards: SHARDS })],
      providers: [TimeClock, ...providers],
    };
  }
}
