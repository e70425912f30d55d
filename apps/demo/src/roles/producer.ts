import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { readConfig } from '../config.js';
import { count } from '../ui/lines.js';
import { live } from './life.js';
import { RoleModule } from './modules.js';
import { demoLogger } from './narrator.js';
import { OrderProducer } from './order-producer.js';

export async function runProducer(): Promise<void> {
  const config = readConfig();
  const app = await NestFactory.createApplicationContext(RoleModule.of({ ...config, name: undefined }, { providers: [OrderProducer] }), {
    logger: demoLogger('producer'), abortOnError: false,
  });
  const producer = app.get(OrderProducer);
  producer.start();
  await live(app, {
    who: 'producer',
    stopped: () => `announced ${count(producer.announced, 'stream')}`,
    beforeClose: () => producer.stop(),
    order: (order) => {
      if (order.type === 'produce') producer.burst(order.count);
      else if (order.type === 'rate') producer.setRate(order.perSecond);
    },
  }, { type: 'ready' });
}
