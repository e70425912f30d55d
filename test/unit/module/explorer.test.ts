import { Controller, Injectable, Logger, Module, Scope } from '@nestjs/common';
import {
  type DisownedStream, type ExpiredStream, OnStreamAssigned, OnStreamDisowned, OnStreamExpired, OnStreamTerminated,
  RedisStreamsModule, type StreamLease,
} from 'nestjs-redis-streams';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { appOf, fakeLease } from './support/fake-engine.js';

afterEach(() => void vi.restoreAllMocks());

describe('finding handlers', () => {
  it('on providers and on controllers, with the options of the decorator', async () => {
    @Injectable()
    class Orders {
      @OnStreamAssigned({ service: 'orders', maxLeases: 3 })
      run(): void {}
    }
    @Controller()
    class Bills {
      @OnStreamAssigned('bills')
      run(): void {}
    }
    const { engine } = await appOf({ providers: [Orders], controllers: [Bills] });
    expect(engine.consumers.map(({ options }) => options)).toEqual([{ service: 'orders', maxLeases: 3 }, { service: 'bills' }]);
    expect(engine.calls).toEqual(['start']);
  });

  it('on values and factories, and once only for a provider that has a second name', async () => {
    class Made {
      seen: StreamLease[] = [];
      @OnStreamAssigned('made')
      run(lease: StreamLease): void {
        this.seen.push(lease);
      }
    }
    class Given extends Made {
      @OnStreamAssigned('given')
      override run(lease: StreamLease): void {
        super.run(lease);
      }
    }
    const given = new Given();
    const { app, engine } = await appOf({
      providers: [
        { provide: 'MADE', useFactory: () => new Made() },
        { provide: 'ALIAS', useExisting: 'MADE' },
        { provide: 'GIVEN', useValue: given },
        { provide: 'PLAIN', useValue: { run: () => undefined } },
        { provide: 'NULL', useValue: null },
        { provide: 'TEXT', useValue: 'text' },
      ],
    });
    expect(engine.consumers.map(({ options }) => options.service)).toEqual(['made', 'given']);
    await engine.assign('made');
    await engine.assign('given');
    expect(app.get<Made>('MADE').seen).toHaveLength(1);
    expect(given.seen).toHaveLength(1);
  });

  it('inherited ones count, overridden ones that are not decorated again do not, and one method may serve several services', async () => {
    class Base {
      @OnStreamAssigned('inherited')
      inherited(): string {
        return this.constructor.name;
      }
      @OnStreamAssigned('overridden')
      overridden(): void {}
    }
    @Injectable()
    class Derived extends Base {
      override overridden(): void {}
      @OnStreamAssigned('one')
      @OnStreamAssigned('two')
      both(): void {}
    }
    const { engine } = await appOf({ providers: [Derived] });
    expect(engine.consumers.map(({ options }) => options.service).toSorted()).toEqual(['inherited', 'one', 'two']);
    expect(await engine.assign('inherited')).toBe('Derived');
  });

  it('binds a class that two modules provide once, to the first, and says so', async () => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
    @Injectable()
    class Shared {
      @OnStreamAssigned('shared')
      run(): void {}
    }
    @Module({ providers: [Shared] })
    class First {}
    @Module({ providers: [Shared] })
    class Second {}
    const { engine } = await appOf({ imports: [First, Second] });
    expect(engine.consumers).toHaveLength(1);
    expect(warn).toHaveBeenCalledWith(expect.stringMatching(/Shared is provided more than once \(First, Second\)/));
  });

  it('collects several listeners of a hook; the failure of one keeps none from being told', async () => {
    const told: string[] = [];
    @Injectable()
    class Orders {
      @OnStreamAssigned('orders')
      run(): void {}
      @OnStreamDisowned('orders')
      lost(event: DisownedStream): void {
        told.push(`lost ${event.stream}`);
        throw new Error('first listener');
      }
      @OnStreamTerminated({ service: 'orders' })
      ended(): void {}
    }
    @Injectable({ scope: Scope.REQUEST })
    class Watcher {
      @OnStreamDisowned('orders')
      async lost(event: DisownedStream): Promise<void> {
        told.push(`watched ${event.stream}`);
      }
    }
    const { engine } = await appOf({ providers: [Orders, Watcher] });
    const { disowned, terminated, expired } = engine.handlers('orders');
    expect(expired).toBeUndefined();
    expect(terminated).toBeTypeOf('function');
    await expect(disowned?.({ stream: 'a' } as DisownedStream)).rejects.toThrow('first listener');
    expect(told.toSorted()).toEqual(['lost a', 'watched a']);
  });

  it('keeps services of different connections apart', async () => {
    @Injectable()
    class Two {
      @OnStreamAssigned('orders')
      here(): string {
        return 'here';
      }
      @OnStreamAssigned({ service: 'orders', connection: 'other' })
      there(): string {
        return 'there';
      }
      @OnStreamExpired({ service: 'orders', connection: 'other' })
      expired(_event: ExpiredStream): string {
        return 'expired there';
      }
    }
    const { engine } = await appOf({ providers: [Two] });
    expect(await engine.handlers('orders', 'other').assigned(fakeLease())).toBe('there');
    expect(engine.handlers('orders').expired).toBeUndefined();
    expect(engine.handlers('orders', 'other').expired).toBeTypeOf('function');
  });
});

describe('what is refused at start', () => {
  it('names every duplicate and every hook without a handler, in one error', async () => {
    @Injectable()
    class A {
      @OnStreamAssigned('orders')
      first(): void {}
      @OnStreamExpired('oders')
      misspelt(): void {}
    }
    @Controller()
    class B {
      @OnStreamAssigned({ service: 'orders', connection: 'default' })
      second(): void {}
    }
    const problem = await appOf({ providers: [A], controllers: [B] }).then(() => undefined, (error: Error) => error.message);
    expect(problem).toContain('B.second: service "orders" has a second @OnStreamAssigned; A.first has the first');
    expect(problem).toContain('A.misspelt: @OnStreamExpired for service "oders", which no method handles');
  });

  it('a module imported twice', async () => {
    await expect(appOf({ imports: [RedisStreamsModule.forRoot({ consumerName: 'again' })] })).rejects.toThrow(/imported 2 times/);
  });

  it('a decorator on what is no method', () => {
    expect(() => {
      class Wrong {
        @OnStreamAssigned('x')
        get value(): number {
          return 1;
        }
      }
      return Wrong;
    }).toThrow(/belongs on a method/);
  });
});
