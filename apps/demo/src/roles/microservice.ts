import 'reflect-metadata';
import { type DynamicModule, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RedisStreamsEvents, RedisStreamsServer } from 'nestjs-redis-streams';
import { readConfig, type RoleConfig } from '../config.js';
import { Register } from '../shop/register.js';
import { CONCURRENCY, PREFETCH } from '../shop/shop-order.js';
import { say } from '../ui/lines.js';
import { library } from './library.js';
import { live } from './life.js';
import { MailingController } from './mailing.controller.js';
import { demoLogger, narrateShop } from './narrator.js';
import { OrderServiceController } from './order-service.controller.js';

@Module({})
class MicroserviceModule {
  static of(config: RoleConfig, controller: Type): DynamicModule {
    const narration = { provide: 'narration', useFactory: (events: RedisStreamsEvents) => narrateShop(config.name ?? config.duty, events), inject: [RedisStreamsEvents] };
    return {
      module: MicroserviceModule,
      imports: [library(config, { transport: { service: config.duty, namespace: config.service, events: { prefetch: PREFETCH, concurrency: CONCURRENCY } } })],
      controllers: [controller],
      providers: [Register, narration],
    };
  }
}

/** One instance of a service: no HTTP, events and requests alone. */
export async function runMicroservice(): Promise<void> {
  const config = readConfig();
  const who = config.name ?? config.duty;
  const app = await NestFactory.create(MicroserviceModule.of(config, config.duty === 'mailing' ? MailingController : OrderServiceController), { logger: demoLogger(who), abortOnError: false });
  app.connectMicroservice({ strategy: app.get(RedisStreamsServer) });
  await app.startAllMicroservices();
  await app.init();
  say(who, 'serving', config.duty);
  await live(app, { who, stopping: () => 'finishes what it handles and gives back what it has read ahead' }, { type: 'ready' });
}
