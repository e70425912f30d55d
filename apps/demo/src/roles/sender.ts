import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { readConfig } from '../config.js';
import { count } from '../ui/lines.js';
import { JobSender } from './job-sender.js';
import { JobsModule } from './jobs.module.js';
import { live } from './life.js';
import { demoLogger } from './narrator.js';

export async function runSender(): Promise<void> {
  const app = await NestFactory.createApplicationContext(JobsModule.of({ ...readConfig(), name: undefined }, [JobSender]), { logger: demoLogger('sender'), abortOnError: false });
  const sender = app.get(JobSender);
  sender.start();
  await live(app, { who: 'sender', stopped: () => `sent ${count(sender.sent, 'job')}`, beforeClose: () => sender.stop() }, { type: 'ready' });
}
