import { type AddressInfo } from 'node:net';
import {
  Body, Controller, Get, Inject, Injectable, type INestApplicationContext, Module, type OnModuleDestroy, Post, Scope, type Type,
} from '@nestjs/common';
import { NestFactory, REQUEST } from '@nestjs/core';
import { Ctx, Payload, Transport } from '@nestjs/microservices';
import {
  InjectLeases, type HandlerRequest, LeaseService, OnStreamAssigned, OnStreamTerminated, RedisStreamsModule, type StreamLease,
  type TerminatedConsumer,
} from 'nestjs-redis-streams';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../support/redis-server.js';
import { waitUntil } from '../support/wait.js';

let redis: RedisServer;
let other: RedisServer;
beforeAll(async () => {
  [redis, other] = await Promise.all([startRedis(), startRedis()]);
});
afterAll(() => Promise.all([redis.stop(), other.stop()]));

const open: INestApplicationContext[] = [];
const closeLater = <T extends INestApplicationContext>(app: T): T => (open.push(app), app);
afterEach(async () => {
  await Promise.all(open.splice(0).map((app) => app.close()));
});

/** Connections the server still has besides the one that asks. */
const clients = async (server: RedisServer): Promise<number> => String(await server.cli('CLIENT', 'LIST')).trim().split('\n').length - 1;

@Injectable()
class Journal {
  readonly lines: string[] = [];
}

@Injectable()
class Orders {
  constructor(private readonly journal: Journal) {}

  @OnStreamAssigned({ service: 'orders', backoff: { initialMs: 20 }, maxAttempts: 3 })
  async process(@Payload('customer') customer: string, @Ctx() lease: StreamLease): Promise<void> {
    if (customer === 'bad') throw new Error('bad customer');
    for await (const { fields } of lease.entries({ idleMs: 0 })) this.journal.lines.push(`${customer} ${fields['n']} ${lease.attempt}`);
  }

  @OnStreamTerminated('orders')
  ended({ reason }: TerminatedConsumer): void {
    this.journal.lines.push(`ended ${reason}`);
  }
}

@Controller('streams')
class Api {
  constructor(private readonly leases: LeaseService, private readonly journal: Journal) {}

  @Post()
  async announce(@Body() { stream, customer }: { stream: string; customer: string }): Promise<object> {
    return this.leases.announce('orders', stream, { customer });
  }

  @Get()
  async stats(): Promise<object> {
    return { lines: this.journal.lines, stats: await this.leases.stats('orders') };
  }
}

@Module({ providers: [Journal], exports: [Journal] })
class JournalModule {}

const QUIET = { logger: false as const, abortOnError: false };

describe('importing the module is enough', () => {
  it('in an HTTP application: announced over HTTP, run, retried and dead-lettered, and close() ends cleanly', async () => {
    @Module({ imports: [RedisStreamsModule.forRoot({ connection: { url: redis.url } }), JournalModule], providers: [Orders], controllers: [Api] })
    class App {}
    const app = closeLater(await NestFactory.create(App, QUIET));
    await app.listen(0, '127.0.0.1');
    const base = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}/streams`;
    for (const n of [1, 2]) await redis.cli('XADD', 'order-1', '*', 'n', n);
    for (const [stream, customer] of [['order-1', 'ann'], ['order-2', 'bad']]) {
      const response = await fetch(base, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ stream, customer }) });
      expect(await response.json()).toMatchObject({ status: 'announced' });
    }
    const leases = app.get(LeaseService);
    await waitUntil(async () => (await leases.stats('orders')).deadLetters === 1, { what: 'the bad one is a dead letter' });
    expect(await leases.deadLetters('orders')).toEqual([expect.objectContaining({ stream: 'order-2' })]);
    const { lines } = (await (await fetch(base)).json()) as { lines: string[] };
    expect(lines).toEqual(['ann 1 1', 'ann 2 1']);
    const journal = app.get(Journal);
    await app.close();
    expect(journal.lines.at(-1)).toBe('ended closed');
    await waitUntil(async () => (await clients(redis)) === 0, { what: 'no connection is left' });
    await expect(fetch(base)).rejects.toThrow();
  });

  it('in an application context, with request-scoped controllers', async () => {
    const ran: unknown[] = [];
    @Controller({ scope: Scope.REQUEST })
    class Scoped {
      constructor(@Inject(REQUEST) private readonly request: HandlerRequest<{ tenant: string }, StreamLease>) {}
      @OnStreamAssigned('scoped')
      run(lease: StreamLease): void {
        ran.push([this.request.data.tenant, lease.stream, this.request.context === lease]);
      }
    }
    @Module({ imports: [RedisStreamsModule.forRoot({ connection: { url: redis.url } })], controllers: [Scoped] })
    class App {}
    const app = closeLater(await NestFactory.createApplicationContext(App, QUIET));
    const leases = app.get(LeaseService);
    await leases.announceMany('scoped', ['a', 'b'].map((tenant) => ({ stream: `of-${tenant}`, info: { tenant } })));
    await waitUntil(() => ran.length === 2, { what: 'both have run' });
    expect(ran.toSorted()).toEqual([['a', 'of-a', true], ['b', 'of-b', true]]);
  });

  it('in a microservice of another transport', async () => {
    const ran: string[] = [];
    @Injectable()
    class Handlers {
      @OnStreamAssigned('micro')
      run({ stream }: StreamLease): void {
        ran.push(stream);
      }
    }
    @Module({ imports: [RedisStreamsModule.forRoot({ connection: { url: redis.url } })], providers: [Handlers] })
    class App {}
    const app = closeLater(await NestFactory.createMicroservice(App, { ...QUIET, transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } }));
    await app.listen();
    await app.get(LeaseService).announce('micro', 'm-1');
    await waitUntil(() => ran.length === 1, { what: 'it has run' });
  });
});

describe('forRootAsync', () => {
  it('with two named connections: each service on its own server', async () => {
    const ran: string[] = [];
    @Injectable()
    class Config {
      readonly urls = [redis.url, other.url];
    }
    @Module({ providers: [Config], exports: [Config] }) class ConfigModule {}
    @Injectable()
    class Handlers {
      constructor(readonly here: LeaseService, @InjectLeases('there') readonly there: LeaseService) {}
      @OnStreamAssigned('named')
      first({ stream }: StreamLease): void {
        ran.push(`here ${stream}`);
      }
      @OnStreamAssigned({ service: 'named', connection: 'there' })
      second({ stream }: StreamLease): void {
        ran.push(`there ${stream}`);
      }
    }
    @Module({
      imports: [
        RedisStreamsModule.forRootAsync({
          imports: [ConfigModule], inject: [Config], connections: ['there'],
          useFactory: ({ urls: [here = '', there = ''] }: Config) => ({ connection: { url: here }, connections: { there: { url: there } } }),
        }),
      ],
      providers: [Handlers],
    })
    class App {}
    const app = closeLater(await NestFactory.createApplicationContext(App, QUIET));
    const { here, there } = app.get(Handlers);
    await Promise.all([here.announce('named', 'x'), there.announce('named', 'y')]);
    await waitUntil(() => ran.length === 2, { what: 'both have run' });
    expect(ran.toSorted()).toEqual(['here x', 'there y']);
    expect(await other.cli('EXISTS', 'named-input')).toBe(1);
    await app.close();
    await waitUntil(async () => (await clients(other)) === 0, { what: 'no connection is left' });
  });
});

describe('app.close()', () => {
  /** An application whose handler uses a provider of another module that shuts down in onModuleDestroy. */
  function appWith(work: (lease: StreamLease, database: Database) => Promise<void>, drainMs: number): Type {
    @Injectable()
    class Handlers {
      constructor(private readonly database: Database) {}
      @OnStreamAssigned({ service: 'slow', maxAttempts: 1 })
      run(lease: StreamLease): Promise<void> {
        return work(lease, this.database);
      }
    }
    @Module({ providers: [Database], exports: [Database] }) class DatabaseModule {}
    @Module({ imports: [DatabaseModule, RedisStreamsModule.forRoot({ connection: { url: redis.url }, shutdown: { drainMs } })], providers: [Handlers] })
    class App {}
    return App;
  }
  class Database implements OnModuleDestroy {
    isOpen = true;
    onModuleDestroy(): void {
      this.isOpen = false;
    }
  }

  it('waits for handlers, whose providers live until then; nothing stays pending', async () => {
    const seen: boolean[] = [];
    let started = false;
    const App = appWith(async (lease, database) => {
      started = true;
      await new Promise((resolve) => lease.signal.addEventListener('abort', resolve));
      await new Promise((resolve) => setTimeout(resolve, 100));
      seen.push(database.isOpen);
    }, 3_000);
    const app = closeLater(await NestFactory.createApplicationContext(App, QUIET));
    await app.get(LeaseService).announce('slow', 's-1');
    await waitUntil(() => started, { what: 'the handler runs' });
    await Promise.all([app.close(), app.close()]);
    expect(seen).toEqual([true]);
    expect(await redis.cli('XPENDING', 'slow-input', 'slow-group')).toEqual([0, null, null, null]);
    await waitUntil(async () => (await clients(redis)) === 0, { what: 'no connection is left' });
  });

  it('does not wait longer than drainMs for one that never ends, whose stream a peer gets', async () => {
    let started = false;
    const App = appWith(() => ((started = true), new Promise(() => undefined)), 100);
    const app = closeLater(await NestFactory.createApplicationContext(App, QUIET));
    await app.get(LeaseService).announce('slow', 's-2');
    await waitUntil(() => started, { what: 'the handler runs' });
    const before = performance.now();
    await app.close();
    expect(performance.now() - before).toBeLessThan(2_000);
    let taken = '';
    const Peer = appWith(async ({ stream, attempt }) => void (taken = `${stream} ${attempt}`), 100);
    closeLater(await NestFactory.createApplicationContext(Peer, QUIET));
    await waitUntil(() => taken, { what: 'a peer has it' });
    expect(taken).toMatch(/^s-2 /);
  });

  it('a start without Redis fails in time and says why', async () => {
    const gone = await startRedis();
    await gone.stop();
    @Injectable()
    class Handlers {
      @OnStreamAssigned('any')
      run(): void {}
    }
    @Module({ imports: [RedisStreamsModule.forRoot({ connection: { url: gone.url }, startTimeoutMs: 300 })], providers: [Handlers] })
    class App {}
    await expect(NestFactory.createApplicationContext(App, QUIET)).rejects.toThrow(/Redis did not answer within 300 ms.*ECONNREFUSED/);
  });
});

it('two applications in one process share the work as two processes would', async () => {
  const ran = { a: 0, b: 0 };
  const make = (name: 'a' | 'b'): Type => {
    @Injectable()
    class Handlers {
      @OnStreamAssigned('shared')
      async run(): Promise<void> {
        ran[name] += 1;
      }
    }
    @Module({ imports: [RedisStreamsModule.forRoot({ connection: { url: redis.url }, consumerName: name })], providers: [Handlers] })
    class App {}
    return App;
  };
  const [a] = [closeLater(await NestFactory.createApplicationContext(make('a'), QUIET)), closeLater(await NestFactory.createApplicationContext(make('b'), QUIET))];
  await a.get(LeaseService).announceMany('shared', Array.from({ length: 100 }, (_, i) => ({ stream: `sh-${i}` })));
  await waitUntil(() => ran.a + ran.b === 100, { what: 'all have run' });
  expect(Math.min(ran.a, ran.b)).toBeGreaterThan(0);
});
