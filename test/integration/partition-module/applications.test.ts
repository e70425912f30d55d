import type { AddressInfo } from 'node:net';
import { Body, Controller, Get, Injectable, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload, Transport } from '@nestjs/microservices';
import {
  InjectPartitions, InjectStream, type PartitionContext, PartitionHandler, type PartitionProducer, PartitionService, RedisStreamsModule,
} from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Apps, clients, committed, moduleOf, QUIET } from './support/apps.js';

let redis: RedisServer;
let other: RedisServer;
beforeAll(async () => {
  [redis, other] = await Promise.all([startRedis(), startRedis()]);
});
afterAll(() => Promise.all([redis.stop(), other.stop()]));
const apps = new Apps();

interface Payment {
  readonly account: string;
  readonly n: number;
}

@Injectable()
class Journal {
  readonly lines: string[] = [];
}
@Module({ providers: [Journal], exports: [Journal] })
class JournalModule {}

describe('importing the module is enough', () => {
  it('in an HTTP application: sent over HTTP, handled in the order of each key, and close() ends cleanly', async () => {
    @Injectable()
    class Ledger {
      constructor(private readonly journal: Journal) {}
      @PartitionHandler({ stream: 'payments', group: 'g', concurrency: 4 })
      async book(@Payload() { account, n }: Payment, @Ctx() context: PartitionContext): Promise<void> {
        await new Promise((resolve) => setTimeout(resolve, n % 3));
        this.journal.lines.push(`${account} ${n} ${context.key} ${context.headers['from']}`);
      }
    }
    @Controller('payments')
    class Api {
      constructor(@InjectStream('payments') private readonly payments: PartitionProducer, private readonly partitions: PartitionService) {}
      @Post()
      async pay(@Body() payment: Payment): Promise<object> {
        return this.payments.send({ key: payment.account, data: payment, headers: { from: 'http' } });
      }
      @Get()
      async lag(): Promise<object> {
        return this.partitions.lag({ stream: 'payments', group: 'g' });
      }
    }
    @Module({ imports: [RedisStreamsModule.registerStream({ name: 'payments', partitions: 4 }), JournalModule], providers: [Ledger], controllers: [Api] })
    class Payments {}
    const app = apps.keep(await NestFactory.create(moduleOf(redis, { imports: [Payments] }), QUIET));
    await app.listen(0, '127.0.0.1');
    const base = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}/payments`;
    const headers = { 'content-type': 'application/json' };
    for (let n = 0; n < 20; n += 1) {
      const response = await fetch(base, { method: 'POST', headers, body: JSON.stringify({ account: `a${n % 4}`, n }) });
      expect(await response.json()).toEqual({ partition: expect.any(Number), id: expect.stringMatching(/^\d+-\d+$/) });
    }
    await committed(app, 'payments');
    expect(await (await fetch(base)).json()).toHaveLength(4);
    const { lines } = app.get(Journal, { strict: false });
    for (const account of ['a0', 'a1', 'a2', 'a3']) {
      const own = Array.from({ length: 5 }, (_, i) => `${account} ${Number(account[1]) + 4 * i} ${account} http`);
      expect(lines.filter((line) => line.startsWith(account))).toEqual(own);
    }
    await app.close();
    expect(lines).toHaveLength(20);
    await waitUntil(async () => (await clients(redis)) === 0, { what: 'no connection is left' });
  });

  it('in a microservice of another transport, on a controller', async () => {
    const ran: unknown[] = [];
    @Controller()
    class Handlers {
      @PartitionHandler({ stream: 'micro', group: 'g' })
      handle(data: unknown): void {
        ran.push(data);
      }
    }
    const App = moduleOf(redis, { imports: [RedisStreamsModule.registerStream({ name: 'micro', partitions: 2 })], controllers: [Handlers] });
    const app = apps.keep(await NestFactory.createMicroservice(App, { ...QUIET, transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } }));
    await app.listen();
    await app.get(PartitionService).sendMany('micro', [1, 2, 3].map((n) => ({ key: 'k', data: { n } })));
    await waitUntil(() => ran.length === 3, { what: 'all have run' });
    expect(ran).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it('with a second connection and namespaces: each stream on its own server, under its own name', async () => {
    const ran: string[] = [];
    @Injectable()
    class Handlers {
      constructor(
        @InjectStream('same') readonly here: PartitionProducer,
        @InjectStream('same', { namespace: 'web', connection: 'there' }) readonly there: PartitionProducer,
        @InjectPartitions('there') readonly ops: PartitionService,
      ) {}
      @PartitionHandler({ stream: 'same', group: 'g' })
      first(data: string, { stream }: PartitionContext): void {
        ran.push(`${data} ${stream}`);
      }
      @PartitionHandler({ stream: 'same', namespace: 'web', group: 'g', connection: 'there' })
      second(data: string, { stream }: PartitionContext): void {
        ran.push(`${data} ${stream}`);
      }
    }
    const app = await apps.context(
      redis,
      {
        imports: [RedisStreamsModule.registerStream([{ name: 'same', partitions: 1 }, { name: 'same', namespace: 'web', partitions: 3, connection: 'there' }])],
        providers: [Handlers],
      },
      { connections: { there: { url: other.url } }, partition: { namespace: 'shop' } },
    );
    const { here, there, ops } = app.get(Handlers);
    await Promise.all([here.send({ data: 'x' }), there.send({ data: 'y' })]);
    await waitUntil(() => ran.length === 2, { what: 'both have run' });
    expect(ran.toSorted()).toEqual(['x shop:same', 'y web:same']);
    expect(await ops.sizes({ stream: 'same', namespace: 'web' })).toHaveLength(3);
    expect(await redis.cli('EXISTS', '{shop:same}:stream')).toBe(1);
    expect(await other.cli('KEYS', '*shop*')).toEqual([]);
  });
});

describe('streams and who registers them', () => {
  it('an application that only sends finds the stream of another; settings of a factory', async () => {
    const ran: unknown[] = [];
    @Injectable()
    class Handlers {
      @PartitionHandler({ stream: 'elsewhere', group: 'g' })
      handle(data: unknown): void {
        ran.push(data);
      }
    }
    @Injectable()
    class Sender {
      constructor(@InjectStream('elsewhere') readonly stream: PartitionProducer) {}
    }
    const sending = await apps.context(redis, { imports: [RedisStreamsModule.registerProducer('elsewhere')], providers: [Sender] });
    // Nobody has registered it yet: the first message waits for that.
    const sent = sending.get(Sender).stream.send({ key: 'k', data: 'early' });
    @Injectable()
    class Config {
      readonly partitions = 5;
    }
    @Module({ providers: [Config], exports: [Config] })
    class ConfigModule {}
    const owner = await apps.context(redis, {
      imports: [
        RedisStreamsModule.registerStreamAsync({
          name: 'elsewhere', imports: [ConfigModule], inject: [Config], useFactory: async ({ partitions }: Config) => ({ partitions }),
        }),
      ],
      providers: [Handlers],
    });
    expect(await sent).toMatchObject({ id: expect.any(String) });
    await waitUntil(() => ran.length === 1, { what: 'it has run' });
    expect(await owner.get(PartitionService).sizes('elsewhere')).toHaveLength(5);
  });

  it('a registration that differs from the stored one ends the start, and says from whom and how', async () => {
    const start = (name: string, partitions: number) =>
      apps.context(redis, { imports: [RedisStreamsModule.registerStream({ name: 'fixed', partitions })] }, { consumerName: name });
    await start('first', 3);
    const before = await clients(redis);
    const error = await start('second', 4).then(() => undefined, (thrown: Error) => thrown);
    expect(error).toMatchObject({ name: 'StreamMismatchError', code: 'STREAM_MISMATCH', stream: 'fixed', registeredBy: 'first' });
    expect(error?.message).toContain('partitions: 4 here, 3 as registered');
    await waitUntil(async () => (await clients(redis)) === before, { what: 'the failed start has left no connection' });
    await start('third', 3);
  });

  it('a handler of a stream that nobody registered ends the start; a producer refuses its messages', async () => {
    @Injectable()
    class Handlers {
      @PartitionHandler({ stream: 'nowhere', group: 'g' })
      handle(): void {}
    }
    const options = { partition: { registrationWaitMs: 300 } };
    await expect(apps.context(redis, { providers: [Handlers] }, options)).rejects.toMatchObject({
      name: 'StreamNotRegisteredError', stream: 'nowhere', message: expect.stringMatching(/consumer of group "g".*registerStream/),
    });
    const app = await apps.context(redis, { imports: [RedisStreamsModule.registerProducer('nowhere')] }, options);
    await expect(app.get(PartitionService).send('nowhere', { data: 1 })).rejects.toMatchObject({ name: 'StreamNotRegisteredError' });
  });
});
