import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { LeaseService, RedisStreamsEngine, RedisStreamsEvents } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { count } from '../ui/lines.js';
import { live } from './life.js';
import { RoleModule } from './modules.js';
import { demoLogger, narrate } from './narrator.js';
import { OrderConsumer } from './order-consumer.js';

export async function runConsumer(): Promise<void> {
  const config = readConfig();
  const app = await NestFactory.createApplicationContext(RoleModule.of(config, { providers: [OrderConsumer, narration(config.name)] }), {
    logger: demoLogger(config.name ?? 'consumer'), abortOnError: false,
  });
  const leases = app.get(LeaseService);
  const who = app.get(RedisStreamsEngine).consumerName;
  await live(app, { who, stopping: () => `${count(leases.held(config.service).length, 'stream')} in work go to peers` }, { type: 'ready' });
}

/** A provider, because the session is joined while the application comes up. */
function narration(name: string | undefined) {
  return { provide: 'narration', useFactory: (events: RedisStreamsEvents) => narrate(name ?? 'consumer', events), inject: [RedisStreamsEvents] };
}
