import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { WsAdapter } from '@nestjs/platform-ws';
import { RedisStreamsEvents } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { ROOMS_PATH } from '../rooms/room.js';
import { say } from '../ui/lines.js';
import { live } from './life.js';
import { demoLogger, narrate, narrateRooms } from './narrator.js';
import { RoomsController } from './rooms.controller.js';
import { RoomsGateway } from './rooms.gateway.js';
import { RoomsModule } from './rooms.module.js';

/** An API instance: HTTP and web sockets on one port. */
export async function runGateway(): Promise<void> {
  const config = readConfig();
  const who = config.name ?? 'gateway';
  const narration = {
    provide: 'narration', inject: [RedisStreamsEvents],
    useFactory: (events: RedisStreamsEvents) => {
      narrate(who, events);
      narrateRooms(who, events);
    },
  };
  const app = await NestFactory.create(RoomsModule.of(config, [RoomsGateway, narration], [RoomsController]), { logger: demoLogger(who), abortOnError: false });
  app.useWebSocketAdapter(new WsAdapter(app));
  await app.listen(config.port, config.host);
  const url = (await app.getUrl()).replace('[::1]', 'localhost');
  say(who, 'listening', '', `${url}${ROOMS_PATH}  ${url.replace('http', 'ws')}${ROOMS_PATH}`);
  await live(app, { who }, { type: 'ready', url });
}
