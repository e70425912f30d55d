import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { RedisStreamsEngine, RedisStreamsEvents } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { live } from './life.js';
import { demoLogger, narrate } from './narrator.js';
import { PaymentHandler } from './payment-handler.js';
import { PaymentsModule } from './payments.module.js';

export async function runWorker(): Promise<void> {
  const config = readConfig();
  const narration = { provide: 'narration', useFactory: (events: RedisStreamsEvents) => narrate(config.name ?? 'worker', events), inject: [RedisStreamsEvents] };
  const app = await NestFactory.createApplicationContext(PaymentsModule.of(config, [PaymentHandler, narration]), {
    logger: demoLogger(config.name ?? 'worker'), abortOnError: false,
  });
  await live(app, { who: app.get(RedisStreamsEngine).consumerName, stopping: () => 'finishes what it handles and hands its partitions over' }, { type: 'ready' });
}
