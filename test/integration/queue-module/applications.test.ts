import type { AddressInfo } from 'node:net';
import { Body, Controller, Get, Injectable, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { InjectQueue, InjectQueues, type QueueContext, QueueHandler, type QueueProducer, QueueService, RedisStreamsModule } from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Apps, clients, moduleOf, QUIET } from '../partition-module/support/apps.js';
import { settled } from './support/settled.js';

let redis: RedisServer;
let other: RedisServer;
beforeAll(async () => {
  [redis, other] = await Promise.all([startRedis(), startRedis()]);
});
afterAll(() => Promise.all([redis.stop(), other.stop()]));
const apps = new Apps();

@Injectable()
class Journal {
  readonly lines: string[] = [];
}
@Module({ providers: [Journal], exports: [Journal] })
class JournalModule {}

describe('importing the module is enough', () => {
  it('in an HTTP application: sent over HTTP, handled once each, and close() ends cleanly', async () => {
    @Injectable()
    class Mailer {
      constructor(private readonly journal: Journal) {}
      @QueueHandler({ queue: 'mails', concurrency: 4, prefetch: 32 })
      async mail(@Payload('n') n: number, @Ctx() context: QueueContext): Promise<void> {
        await new Promise((resolve) => setTimeout(resolve, n % 3));
        this.journal.lines.push(`${n} ${context.messageId} ${context.headers['from']}`);
      }
    }
    @Controller('mails')
    class Api {
      constructor(@InjectQueue('mails') private readonly mails: QueueProducer, private readonly queues: QueueService) {}
      @Post()
      async send(@Body() mail: { n: number }): Promise<object> {
        return this.mails.send(mail, { id: `mail-${mail.n}`, headers: { from: 'http' } });
      }
      @Get()
      async stats(): Promise<object> {
        return this.queues.stats('mails');
      }
    }
    @Module({ imports: [RedisStreamsModule.registerQueue({ name: 'mails', shards: 4 }), JournalModule], providers: [Mailer], controllers: [Api] })
    class Mails {}
    const app = apps.keep(await NestFactory.create(moduleOf(redis, { imports: [Mails] }), QUIET));
    await app.listen(0, '127.0.0.1');
    const base = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}/mails`;
    const post = async (n: number): Promise<{ duplicate: boolean; id: string }> => {
      const response = await fetch(base, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ n }) });
      return (await response.json()) as { duplicate: boolean; id: string };
    };
    for (let n = 0; n < 20; n += 1) expect(await post(n)).toEqual({ shard: expect.any(Number), id: expect.stringMatching(/^\d+-\d+$/), duplicate: false });
    // A client that sends its request again does not send the mail again.
    expect((await post(7)).duplicate).toBe(true);
    await settled(app, 'mails');
    expect(await (await fetch(base)).json()).toMatchObject({ queue: 'mails', group: 'default', messages: 0, consumers: 1, deadLetters: 0 });
    const { lines } = app.get(Journal, { strict: false });
    expect(lines.toSorted()).toEqual(Array.from({ length: 20 }, (_, n) => `${n} mail-${n} http`).toSorted());
    await app.close();
    await waitUntil(async () => (await clients(redis)) === 0, { what: 'no connection is left' });
  });

  it('in a microservice of another transport, on a controller, beside its message handlers', async () => {
    const ran: unknown[] = [];
    @Controller()
    class Handlers {
      @QueueHandler('micro')
      handle(data: unknown): void {
        ran.push(data);
      }
      @MessagePattern('ping')
      ping(): string {
        return 'pong';
      }
    }
    const App = moduleOf(redis, { imports: [RedisStreamsModule.registerQueue({ name: 'micro', shards: 2 })], controllers: [Handlers] });
    const app = apps.keep(await NestFactory.createMicroservice(App, { ...QUIET, transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } }));
    await app.listen();
    await app.get(QueueService).sendMany('micro', [1, 2, 3].map((n) => ({ data: { n } })));
    await waitUntil(() => ran.length === 3, { what: 'all have run' });
    expect(ran.toSorted((a, b) => (a as { n: number }).n - (b as { n: number }).n)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it('in a hybrid application: each handler is bound once', async () => {
    const ran: unknown[] = [];
    @Controller('jobs')
    class Handlers {
      constructor(@InjectQueue('hybrid') private readonly jobs: QueueProducer) {}
      @Post()
      async add(@Body() job: object): Promise<object> {
        return this.jobs.send(job);
      }
      @QueueHandler('hybrid')
      handle(@Payload() data: unknown): void {
        ran.push(data);
      }
    }
    const app = apps.keep(await NestFactory.create(moduleOf(redis, { imports: [RedisStreamsModule.registerQueue({ name: 'hybrid' })], controllers: [Handlers] }), QUIET));
    app.connectMicroservice({ transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } }, { inheritAppConfig: true });
    await app.startAllMicroservices();
    await app.listen(0, '127.0.0.1');
    const { port } = app.getHttpServer().address() as AddressInfo;
    await fetch(`http://127.0.0.1:${port}/jobs`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"job":1}' });
    await settled(app, 'hybrid');
    expect(ran).toEqual([{ job: 1 }]);
    expect((await app.get(QueueService).stats('hybrid')).consumers).toBe(1);
  });

  it('with a second connection and namespaces: each queue on its own server, under its own name', async () => {
    const ran: string[] = [];
    @Injectable()
    class Handlers {
      constructor(
        @InjectQueue('same') readonly here: QueueProducer,
        @InjectQueue('same', { namespace: 'web', connection: 'there' }) readonly there: QueueProducer,
        @InjectQueues('there') readonly ops: QueueService,
      ) {}
      @QueueHandler('same')
      first(data: string, { queue }: QueueContext): void {
        ran.push(`${data} ${queue}`);
      }
      @QueueHandler({ queue: 'same', namespace: 'web', connection: 'there' })
      second(data: string, { queue }: QueueContext): void {
        ran.push(`${data} ${queue}`);
      }
    }
    const app = await apps.context(
      redis,
      { imports: [RedisStreamsModule.registerQueue([{ name: 'same' }, { name: 'same', namespace: 'web', shards: 3, connection: 'there' }])], providers: [Handlers] },
      { connections: { there: { url: other.url } }, queue: { namespace: 'shop' } },
    );
    const { here, there, ops } = app.get(Handlers);
    expect([here.name, there.name]).toEqual(['shop:same', 'web:same']);
    await Promise.all([here.send('x'), there.send('y')]);
    await waitUntil(() => ran.length === 2, { what: 'both have run' });
    expect(ran.toSorted()).toEqual(['x shop:same', 'y web:same']);
    expect(await ops.stats({ queue: 'same', namespace: 'web' })).toMatchObject({ queue: 'web:same', consumers: 1 });
    expect(await redis.cli('KEYS', '*web*')).toEqual([]);
    expect(await other.cli('KEYS', '*shop*')).toEqual([]);
  });

  it('an application that only sends finds the queue of another; settings of a factory', async () => {
    const ran: unknown[] = [];
    @Injectable()
    class Handlers {
      @QueueHandler('elsewhere')
      handle(data: unknown): void {
        ran.push(data);
      }
    }
    @Injectable()
    class Sender {
      constructor(@InjectQueue('elsewhere') readonly queue: QueueProducer) {}
    }
    const sending = await apps.context(redis, { imports: [RedisStreamsModule.registerQueueProducer('elsewhere')], providers: [Sender] });
    // Nobody has registered it yet: the first message waits for that.
    const sent = sending.get(Sender).queue.send('early');
    @Injectable()
    class Config {
      readonly shards = 5;
    }
    @Module({ providers: [Config], exports: [Config] })
    class ConfigModule {}
    await apps.context(redis, {
      imports: [
        RedisStreamsModule.registerQueueAsync({ name: 'elsewhere', imports: [ConfigModule], inject: [Config], useFactory: async ({ shards }: Config) => ({ shards }) }),
      ],
      providers: [Handlers],
    });
    expect(await sent).toMatchObject({ id: expect.any(String), duplicate: false });
    await waitUntil(() => ran.length === 1, { what: 'it has run' });
    expect(ran).toEqual(['early']);
  });
});
