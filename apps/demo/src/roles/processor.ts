import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { RedisStreamsEngine, RedisStreamsEvents } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { JobHandler } from './job-handler.js';
import { JobsModule } from './jobs.module.js';
import { live } from './life.js';
import { demoLogger, narrateQueues } from './narrator.js';

export async function runProcessor(): Promise<void> {
  const config = readConfig();
  const who = config.name ?? 'processor';
  const narration = { provide: 'narration', useFactory: (events: RedisStreamsEvents) => narrateQueues(who, events), inject: [RedisStreamsEvents] };
  const app = await NestFactory.createApplicationContext(JobsModule.of(config, [JobHandler, narration]), { logger: demoLogger(who), abortOnError: false });
  await live(app, { who: app.get(RedisStreamsEngine).consumerName, stopping: () => 'finishes what it handles and gives back what it has read ahead' }, { type: 'ready' });
}
