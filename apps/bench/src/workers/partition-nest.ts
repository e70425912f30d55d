import { Controller, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { OnPartitionsAssigned, PartitionHandler, RedisStreamsEngine, RedisStreamsModule, type PartitionContext, type PartitionsEvent } from '../engine.js';
import type { Payment } from '../payload.js';
import type { Meter } from '../support/meter.js';
import { allCommitted, consumer } from './partition-consumers.js';
import { PARTITIONS } from './partition-producers.js';
import type { Role } from './role.js';

function appModule(url: string, stream: string, meter: Meter, allAssigned: () => void): Type {
  const place = { stream, group: 'bench' };
  let missing = PARTITIONS;

  @Controller()
  class Payments {
    @PartitionHandler(place)
    async handle(@Payload() data: Payment, @Ctx() _context: PartitionContext): Promise<void> {
      meter.see(data);
    }

    @OnPartitionsAssigned(place)
    assigned({ partitions }: PartitionsEvent): void {
      missing -= partitions.length;
      if (missing === 0) allAssigned();
    }
  }

  @Module({
    imports: [RedisStreamsModule.forRoot({ connection: { url } }), RedisStreamsModule.registerStream({ name: stream, partitions: PARTITIONS })],
    controllers: [Payments],
  })
  class AppModule {}
  return AppModule;
}

/** The same as the engine's role, through a Nest application per stream. */
const nest: Role = consumer(async (url, stream, meter) => {
  let allAssigned: () => void = () => undefined;
  const assigned = new Promise<void>((resolve) => (allAssigned = resolve));
  const app = await NestFactory.createApplicationContext(appModule(url, stream, meter, allAssigned), { logger: ['error', 'warn'] });
  await assigned;
  return { settled: () => allCommitted(app.get(RedisStreamsEngine), stream), stop: () => app.close() };
});

export const partitionNestRoles: Readonly<Record<string, Role>> = { 'consume-nest': nest };
