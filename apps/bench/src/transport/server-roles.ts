import { Controller, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, MessagePattern, Payload, type BaseRpcContext } from '@nestjs/microservices';
import { RedisStreamsServer, type RedisStreamsEngine } from '../engine.js';
import type { Payment } from '../payload.js';
import { sharedNow } from '../support/clock.js';
import type { Role } from '../workers/role.js';
import { EVENT, kindOf, REQUEST, serverOptions } from './kinds.js';
import { Tally } from './tally.js';
import { usage } from './usage.js';

/** The same controller behind every transport. */
function appModule(tally: Tally): Type {
  @Controller()
  class Payments {
    @EventPattern<string>(EVENT)
    async paid(@Payload() data: Payment, @Ctx() _context: BaseRpcContext): Promise<void> {
      tally.see(data);
    }

    @MessagePattern(REQUEST)
    async pay(@Payload() data: Payment, @Ctx() _context: BaseRpcContext): Promise<Payment> {
      return data;
    }
  }

  @Module({ controllers: [Payments] })
  class AppModule {}
  return AppModule;
}

const server: Role = async ({ url, options, tell }) => {
  const tally = new Tally();
  const given = serverOptions(kindOf(options), url, Number(options['tcpPort']));
  const app = await NestFactory.createMicroservice(appModule(tally), { ...given, logger: ['error', 'warn'] });
  await app.listen();
  const engine = 'strategy' in given && given.strategy instanceof RedisStreamsServer ? given.strategy.unwrap<RedisStreamsEngine>() : undefined;
  return async ({ type, count }) => {
    if (type === 'usage') return tell(usage());
    if (type === 'expect') {
      tally.expect(Number(count));
      return tell({ type: 'expecting' });
    }
    const handled = await tally.outcome();
    if (!engine) return tell({ type: 'handled', ...handled });
    // Ours is done when it is acknowledged as well.
    if (!handled.exact) throw new Error(`${handled.count} events handled, or some of them twice: all were to be, once`);
    await emptied(engine);
    tell({ type: 'handled', ...handled, settledAt: sharedNow() });
  };
};

async function emptied(engine: RedisStreamsEngine): Promise<void> {
  while ((await engine.queues().stats({ queue: `event.${EVENT}`, namespace: 'transport' })).messages > 0) await new Promise((resolve) => setTimeout(resolve, 1));
}

export const transportServerRoles: Readonly<Record<string, Role>> = { 'transport-server': server };
