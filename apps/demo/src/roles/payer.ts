import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { readConfig } from '../config.js';
import { count } from '../ui/lines.js';
import { live } from './life.js';
import { demoLogger } from './narrator.js';
import { PaymentProducer } from './payment-producer.js';
import { PaymentsModule } from './payments.module.js';

export async function runPayer(): Promise<void> {
  const app = await NestFactory.createApplicationContext(PaymentsModule.of({ ...readConfig(), name: undefined }, [PaymentProducer]), {
    logger: demoLogger('payer'), abortOnError: false,
  });
  const producer = app.get(PaymentProducer);
  producer.start();
  await live(app, { who: 'payer', stopped: () => `sent ${count(producer.sent, 'payment')}`, beforeClose: () => producer.stop() }, { type: 'ready' });
}
