import { Controller, type INestApplicationContext, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { OnStreamAssigned, RedisStreamsEngine, RedisStreamsModule, type StreamLease } from '../engine.js';
import { Tally } from './backlog.js';
import type { Role } from './role.js';

function appModule(url: string, service: string): Type {
  @Controller()
  class Orders {
    @OnStreamAssigned(service)
    async assigned(@Payload() _info: object, @Ctx() _lease: StreamLease): Promise<void> {}
  }
  @Module({ imports: [RedisStreamsModule.forRoot({ connection: { url } })], controllers: [Orders] })
  class AppModule {}
  return AppModule;
}

/** The same as the engine's role, through a Nest application per service. */
const nest: Role = async ({ url, tell }) => {
  const tally = new Tally(tell);
  let app: INestApplicationContext | undefined;
  return async (message) => {
    await app?.close();
    tally.reset();
    if (message.type !== 'consume') return tell({ type: 'stopped' });
    // Not `debug`: at that level each stream writes log lines, and the terminal would be measured.
    app = await NestFactory.createApplicationContext(appModule(url, String(message['service'])), { logger: ['error', 'warn'] });
    app.get(RedisStreamsEngine).events.on('lease.completed', () => tally.add());
  };
};

export const nestRoles: Readonly<Record<string, Role>> = { 'backlog-nest': nest };
