import { Controller, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { QueueHandler, RedisStreamsEngine, RedisStreamsModule, type QueueContext } from '../engine.js';
import type { Payment } from '../payload.js';
import type { Role } from '../workers/role.js';
import { consumer, emptied } from './consumers.js';
import type { QueueMeter } from './meter.js';

function appModule(url: string, queue: string, meter: QueueMeter): Type {
  @Controller()
  class Payments {
    @QueueHandler({ queue })
    async handle(@Payload() data: Payment, @Ctx() _context: QueueContext): Promise<void> {
      meter.see(data);
    }
  }

  @Module({
    imports: [RedisStreamsModule.forRoot({ connection: { url } }), RedisStreamsModule.registerQueue({ name: queue })],
    controllers: [Payments],
  })
  class AppModule {}
  return AppModule;
}

/** The same as the engine's role, through a Nest application per queue. */
const nest: Role = consumer(async ({ url, queue, meter }) => {
  const app = await NestFactory.createApplicationContext(appModule(url, queue, meter), { logger: ['error', 'warn'] });
  return { settled: () => emptied(app.get(RedisStreamsEngine), queue), stop: () => app.close() };
});

export const queueNestRoles: Readonly<Record<string, Role>> = { 'queue-consume-nest': nest };
