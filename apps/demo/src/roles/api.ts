import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { readConfig } from '../config.js';
import { say } from '../ui/lines.js';
import { live } from './life.js';
import { RoleModule } from './modules.js';
import { demoLogger } from './narrator.js';
import { OrdersController } from './orders.controller.js';
import { PartitionsController } from './partitions.controller.js';

export async function runApi(): Promise<void> {
  const config = readConfig();
  const app = await NestFactory.create(RoleModule.of({ ...config, name: undefined }, { controllers: [OrdersController, PartitionsController] }), {
    logger: demoLogger('api'), abortOnError: false,
  });
  try {
    await app.listen(config.port, config.host);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    await app.listen(0, config.host);
  }
  const url = (await app.getUrl()).replace('[::1]', 'localhost');
  say('api', 'listening', '', config.bankUrl === undefined ? `${url}/stats  ${url}/streams` : `${url}/partitions`);
  await live(app, { who: 'api' }, { type: 'ready', url });
}
