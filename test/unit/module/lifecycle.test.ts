import { Global, Injectable, Module, type OnApplicationBootstrap, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  getLeasesToken, InjectLeases, InvalidOptionsError, LeaseService, OnStreamAssigned, RedisStreamsEngine, RedisStreamsEvents,
  RedisStreamsHealth, RedisStreamsModule, type RedisStreamsOptionsFactory,
} from 'nestjs-redis-streams';
import { describe, expect, it } from 'vitest';
import { appOf, FakeEngine, fakeLease } from './support/fake-engine.js';

const order: string[] = [];
class Noted implements OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown {
  onApplicationBootstrap(): void {
    order.push(`${this.constructor.name} up`);
  }
  onModuleDestroy(): void {
    order.push(`${this.constructor.name} down`);
  }
  onApplicationShutdown(): void {
    order.push('closed');
  }
}

describe('start and stop', () => {
  it('starts after and drains before every other module, global ones and the root included, and closes last', async () => {
    order.length = 0;
    @Injectable() class Database extends Noted {}
    @Global() @Module({ providers: [Database], exports: [Database] }) class DatabaseModule {}
    @Injectable()
    class Orders extends Noted {
      @OnStreamAssigned('orders')
      run(): void {}
    }
    @Module({ imports: [DatabaseModule], providers: [Orders] }) class Feature {}
    class Engine extends FakeEngine {
      override start(): Promise<void> {
        order.push('engine start');
        return super.start();
      }
    }
    const engine = new Engine();
    engine.onDrain = async () => {
      order.push('drain');
      await Promise.resolve();
      order.push('drained');
    };
    engine.onStop = () => Promise.resolve(void order.push('stop'));
    const { app } = await appOf({ imports: [Feature], providers: [class Root extends Noted {}] }, engine);
    expect(order.toSorted()).toEqual(['Database up', 'Orders up', 'Root up', 'engine start'].toSorted());
    expect(order.at(-1)).toBe('engine start');
    order.length = 0;
    await app.close();
    expect(order.slice(0, 2)).toEqual(['drain', 'drained']);
    expect(order.slice(2, 5).toSorted()).toEqual(['Database down', 'Orders down', 'Root down']);
    // Connections close once the listeners are closed, so that what they still answered could announce.
    expect(order.slice(5)).toContain('stop');
  });

  it('stops the engine when it cannot start, and rejects with the reason', async () => {
    const engine = new FakeEngine();
    engine.start = () => Promise.reject(new Error('no Redis'));
    await expect(appOf({}, engine)).rejects.toThrow('no Redis');
    expect(engine.calls).toEqual(['stop']);
  });

  it('stops it also when handlers are refused', async () => {
    @Injectable()
    class Orders {
      @OnStreamAssigned('orders')
      a(): void {}
      @OnStreamAssigned('orders')
      b(): void {}
    }
    const engine = new FakeEngine();
    await expect(appOf({ providers: [Orders] }, engine)).rejects.toThrow('second @OnStreamAssigned');
    expect(engine.calls).toEqual(['stop']);
  });

  it('two applications in one process do not see each other', async () => {
    @Injectable()
    class Orders {
      runs = 0;
      @OnStreamAssigned('orders')
      run(): void {
        this.runs += 1;
      }
    }
    const [a, b] = [await appOf({ providers: [Orders] }), await appOf({ providers: [Orders] })];
    await a.engine.assign('orders', fakeLease());
    expect([a.app.get(Orders).runs, b.app.get(Orders).runs]).toEqual([1, 0]);
    await a.app.close();
    expect(a.engine.calls).toContain('stop');
    expect(b.engine.calls).toEqual(['start']);
    await b.app.close();
  });
});

describe('options', () => {
  it('an error lists every wrong one', async () => {
    const made = Test.createTestingModule({
      imports: [RedisStreamsModule.forRoot({ connection: { url: 'nonsense' }, commandTimeoutMs: -1, session: { ttlMs: 1 }, lease: { maxLeases: 0 } })],
    }).compile();
    const error = await made.then(() => undefined, (thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect((error as InvalidOptionsError).problems.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['connection.url', 'commandTimeoutMs', 'session.ttlMs', 'lease.maxLeases']),
    );
  });

  it('and wrong ones of decorators are listed with the method, for all of them at once', async () => {
    @Injectable()
    class Orders {
      @OnStreamAssigned({ service: 'orders', maxLeases: -1, connection: 'nowhere' })
      run(): void {}
      @OnStreamAssigned({ service: '', maxAttempts: 0 })
      other(): void {}
    }
    const app = await Test.createTestingModule({ imports: [RedisStreamsModule.forRoot()], providers: [Orders] }).setLogger(false as never).compile();
    const error = await app.init().then(() => undefined, (thrown: Error) => thrown.message);
    expect(error).toMatch(/OnStreamAssigned of Orders\.run: .*maxLeases/);
    expect(error).toMatch(/OnStreamAssigned of Orders\.run: .*connection/);
    expect(error).toMatch(/OnStreamAssigned of Orders\.other: .*service/);
    expect(error).toMatch(/OnStreamAssigned of Orders\.other: .*maxAttempts/);
    // Nest 11 rejects here with the error of the start.
    await app.close().catch(() => undefined);
  });

  it.each([
    ['useFactory', { useFactory: (name: string) => ({ consumerName: name, connections: { far: { port: 1 } } }), inject: ['NAME'] }],
    ['useClass', { useClass: class implements RedisStreamsOptionsFactory {
      createRedisStreamsOptions = () => Promise.resolve({ consumerName: 'me', connections: { far: { port: 1 } } });
    } }],
  ])('forRootAsync with %s, and named connections', async (_what, how) => {
    @Module({ providers: [{ provide: 'NAME', useValue: 'me' }], exports: ['NAME'] }) class Names {}
    @Injectable()
    class Producer {
      constructor(
        readonly leases: LeaseService, @InjectLeases() readonly same: LeaseService, @InjectLeases('far') readonly far: LeaseService,
        readonly events: RedisStreamsEvents, readonly engine: RedisStreamsEngine, readonly health: RedisStreamsHealth,
      ) {}
    }
    @Module({ providers: [Producer] }) class Feature {}
    const app = await Test.createTestingModule({
      imports: [RedisStreamsModule.forRootAsync({ ...how, imports: [Names], connections: ['far'] }), Feature],
    }).compile();
    const { leases, same, far, events, engine, health } = app.get(Producer, { strict: false });
    expect(engine.consumerName).toBe('me');
    expect(leases).toBeInstanceOf(LeaseService);
    expect(same).toBe(leases);
    expect(far).toBeInstanceOf(LeaseService);
    expect(far).not.toBe(leases);
    expect(far).toBe(app.get(getLeasesToken('far')));
    expect(events).toBe(engine.events);
    expect(health.check()).toEqual({ redisStreams: { status: 'up' } });
    await app.close();
  });

  it('isGlobal: false asks for an import', async () => {
    @Injectable() class Producer { constructor(readonly leases: LeaseService) {} }
    @Module({ providers: [Producer] }) class Feature {}
    const build = (isGlobal: boolean) => Test.createTestingModule({ imports: [RedisStreamsModule.forRoot({ isGlobal }), Feature] }).compile();
    await expect(build(false)).rejects.toThrow(/LeaseService/);
    const app = await build(true);
    await app.close();
  });
});
