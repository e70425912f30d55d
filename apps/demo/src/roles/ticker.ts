import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { readConfig } from '../config.js';
import { count } from '../ui/lines.js';
import { live } from './life.js';
import { demoLogger } from './narrator.js';
import { RoomsModule } from './rooms.module.js';
import { Ticks } from './ticks.js';

export async function runTicker(): Promise<void> {
  const app = await NestFactory.createApplicationContext(RoomsModule.of({ ...readConfig(), name: undefined }, [Ticks]), { logger: demoLogger('ticker'), abortOnError: false });
  const ticks = app.get(Ticks);
  ticks.start();
  await live(app, { who: 'ticker', stopped: () => `sent ${count(ticks.sent, 'tick')}`, beforeClose: () => ticks.stop() }, { type: 'ready' });
}
