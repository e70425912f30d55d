import { Controller, Injectable } from '@nestjs/common';
import { QueueHandler, QueueService, RedisStreamsModule } from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Apps, clients } from '../partition-module/support/apps.js';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());
const apps = new Apps();

describe('what ends the start, and what it says', () => {
  it('a registration that differs from the stored one: from whom and how; no connection is left', async () => {
    const start = (name: string, shards: number) => apps.context(redis, { imports: [RedisStreamsModule.registerQueue({ name: 'fixed', shards })] }, { consumerName: name });
    await start('first', 3);
    const before = await clients(redis);
    const error = await start('second', 4).then(() => undefined, (thrown: Error) => thrown);
    expect(error).toMatchObject({ name: 'QueueMismatchError', code: 'QUEUE_MISMATCH', queue: 'fixed', registeredBy: 'first' });
    expect(error?.message).toContain('shards: 4 here, 3 as registered');
    await waitUntil(async () => (await clients(redis)) === before, { what: 'the failed start has left no connection' });
    await start('third', 3);
  });

  it('a handler of a queue that nobody registered; a producer refuses its messages', async () => {
    @Injectable()
    class Handlers {
      @QueueHandler('nowhere')
      handle(): void {}
    }
    const options = { queue: { registrationWaitMs: 300 } };
    await expect(apps.context(redis, { providers: [Handlers] }, options)).rejects.toMatchObject({
      name: 'QueueNotRegisteredError', queue: 'nowhere', message: expect.stringMatching(/consumer of group "default".*registerQueue/),
    });
    const app = await apps.context(redis, { imports: [RedisStreamsModule.registerQueueProducer('nowhere')] }, options);
    await expect(app.get(QueueService).send('nowhere', 1)).rejects.toMatchObject({ name: 'QueueNotRegisteredError' });
  });

  it('two handlers of one queue, group and connection', async () => {
    @Injectable()
    class A {
      @QueueHandler('jobs')
      first(): void {}
    }
    @Controller()
    class B {
      @QueueHandler({ queue: 'jobs', group: 'default' })
      second(): void {}
    }
    const before = await clients(redis);
    const start = apps.context(redis, { imports: [RedisStreamsModule.registerQueue({ name: 'jobs' })], providers: [A], controllers: [B] });
    await expect(start).rejects.toThrow('B.second: queue "jobs" in group "default" has a second @QueueHandler; A.first has the first');
    await waitUntil(async () => (await clients(redis)) === before, { what: 'no connection is left' });
  });
});
