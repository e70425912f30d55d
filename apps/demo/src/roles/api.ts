import 'reflect-metadata';
import type { Server } from 'node:http';
import { NestFactory } from '@nestjs/core';
import { RedisStreamsModule } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { say } from '../ui/lines.js';
import { live } from './life.js';
import { RoleModule } from './modules.js';
import { demoLogger } from './narrator.js';
import { OrdersController } from './orders.controller.js';
import { PartitionsController } from './partitions.controller.js';
import { ShopController } from './shop.controller.js';

const KEEP_ALIVE_MS = 60_000;

export async function runApi(): Promise<void> {
  const config = readConfig();
  const who = config.name ?? 'api';
  const parts = { imports: [RedisStreamsModule.registerClient()], controllers: [OrdersController, PartitionsController, ShopController] };
  const app = await NestFactory.create(RoleModule.of({ ...config, name: undefined }, parts), { logger: demoLogger(who), abortOnError: false });
  // Clients that keep connections must not find them closed just as they send.
  (app.getHttpServer() as Server).keepAliveTimeout = KEEP_ALIVE_MS;
  try {
    await app.listen(config.port, config.host);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    await app.listen(0, config.host);
  }
  const url = (await app.getUrl()).replace('[::1]', 'localhost');
  say(who, 'listening', '', config.bankUrl === undefined ? `${url}/stats  ${url}/streams  ${url}/orders` : `${url}/partitions`);
  await live(app, { who }, { type: 'ready', url });
}
