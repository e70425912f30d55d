import { setImmediate as nextTick } from 'node:timers/promises';
import {
  ArgumentsHost, CallHandler, CanActivate, Catch, Controller, createParamDecorator, ExceptionFilter, ExecutionContext, Inject, Injectable,
  Logger, Module, NestInterceptor, PipeTransform, SetMetadata, UseFilters, UseGuards, UseInterceptors, UsePipes,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE, Reflector } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { OnStreamAssigned, type StreamLease } from 'nestjs-redis-streams';
import { EMPTY, from, map, type Observable, of, throwError } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { appOf, fakeLease } from './support/fake-engine.js';

afterEach(() => void vi.restoreAllMocks());

const Role = (role: string): MethodDecorator & ClassDecorator => SetMetadata('role', role);
const Token = createParamDecorator((suffix: string, context: ExecutionContext) =>
  `${context.switchToRpc().getContext<StreamLease>().token}${suffix}`);

@Injectable()
class Limits {
  readonly allowed = ['clerk'];
}

/** Has a dependency, so that it can only work when Nest made it in the module of the handler. */
@Injectable()
class RoleGuard implements CanActivate {
  static seen: unknown[] = [];
  constructor(private readonly reflector: Reflector, private readonly limits: Limits) {}
  canActivate(context: ExecutionContext): boolean {
    const [data, lease] = [context.switchToRpc().getData<unknown>(), context.switchToRpc().getContext<StreamLease>()];
    RoleGuard.seen.push([context.getType(), context.getClass().name, context.getHandler().name, data, lease.token]);
    const role = this.reflector.getAllAndOverride<string>('role', [context.getHandler(), context.getClass()]);
    return this.limits.allowed.includes(role);
  }
}

@Injectable()
class Doubling implements NestInterceptor {
  constructor(private readonly limits: Limits) {}
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((value) => [this.limits.allowed[0], value]));
  }
}

class Refused extends Error {}

@Catch(Refused)
class Answer implements ExceptionFilter {
  constructor(@Inject(Limits) private readonly limits: Limits) {}
  catch(error: Refused, host: ArgumentsHost): Observable<string> {
    return of(`${this.limits.allowed[0]}: ${error.message} ${host.switchToRpc().getContext<StreamLease>().stream} ${host.getType()}`);
  }
}

class Upper implements PipeTransform {
  transform(value: unknown): unknown {
    return typeof value === 'string' ? value.toUpperCase() : value;
  }
}

describe.each(['provider', 'controller'] as const)('around a handler on a %s', (kind) => {
  const place = (handler: new (...args: never[]) => object): object =>
    kind === 'provider' ? { providers: [handler, Limits] } : { controllers: [handler], providers: [Limits] };
  const Place = kind === 'provider' ? Injectable : (Controller as () => ClassDecorator);

  it('guards given as classes run with their dependencies and see class, handler, info and lease', async () => {
    RoleGuard.seen = [];
    @Place()
    @UseGuards(RoleGuard)
    class Orders {
      ran: unknown[][] = [];
      @Role('clerk')
      @OnStreamAssigned('allowed')
      allowed(...args: unknown[]): void {
        this.ran.push(args);
      }
      @Role('guest')
      @OnStreamAssigned('refused')
      refused(...args: unknown[]): void {
        this.ran.push(args);
      }
    }
    const { app, engine } = await appOf(place(Orders));
    const lease = fakeLease({ amount: 9 });
    await engine.assign('allowed', lease);
    await expect(engine.assign('refused', lease)).rejects.toThrow(/Forbidden/);
    expect(app.get(Orders).ran).toEqual([[lease]]);
    expect(RoleGuard.seen).toEqual([
      ['rpc', 'Orders', 'allowed', { amount: 9 }, 42],
      ['rpc', 'Orders', 'refused', { amount: 9 }, 42],
    ]);
  });

  it('interceptors and filters given as classes run; a filter that answers has handled the exception', async () => {
    @Place()
    @UseInterceptors(Doubling)
    @UseFilters(Answer)
    class Orders {
      @OnStreamAssigned('fine')
      fine(): string {
        return 'fine';
      }
      @OnStreamAssigned('caught')
      caught(): void {
        throw new Refused('no');
      }
      @OnStreamAssigned('other')
      other(): void {
        throw new TypeError('not for this filter');
      }
    }
    const { engine } = await appOf(place(Orders));
    expect(await engine.assign('fine')).toEqual(['clerk', 'fine']);
    expect(await engine.assign('caught')).toBe('clerk: no order-1 rpc');
    await expect(engine.assign('other')).rejects.toThrow(TypeError);
  });

  it('parameter decorators and pipes give the handler what they name', async () => {
    @Place()
    class Orders {
      ran: unknown[][] = [];
      @UsePipes(Upper)
      @OnStreamAssigned('orders')
      run(
        @Payload('name') name: unknown, @Ctx() lease: unknown, @Payload() info: unknown, @Token('!') token: unknown,
        @Payload('amount', { transform: (value: number) => value + 1 }) amount: unknown, @Payload('constructor') inherited: unknown,
      ): void {
        this.ran.push([name, lease, info, token, amount, inherited]);
      }
      @OnStreamAssigned('picky')
      picky(@Payload({ transform: () => { throw new Error('bad info'); } }) _info: unknown): void {}
      @UsePipes(class { transform(): never { throw new Error('a pipe has no business with an undecorated lease'); } })
      @OnStreamAssigned('plain')
      plain(lease: StreamLease): number {
        return lease.token;
      }
    }
    const { app, engine } = await appOf(place(Orders));
    const lease = fakeLease({ name: 'ann', amount: 1 });
    await engine.assign('orders', lease);
    expect(app.get(Orders).ran).toEqual([['ANN', lease, { name: 'ann', amount: 1 }, '42!', 2, undefined]]);
    await expect(engine.assign('picky')).rejects.toThrow('bad info');
    expect(await engine.assign('plain')).toBe(42);
  });

  it('a returned Observable is awaited to its end, an empty one is fine, a failing one is a failure that filters see', async () => {
    @Place()
    @UseFilters(Answer)
    class Orders {
      @OnStreamAssigned('many')
      many(): Observable<number> {
        return from([1, 2, 3]);
      }
      @OnStreamAssigned('empty')
      empty(): Observable<never> {
        return EMPTY;
      }
      @OnStreamAssigned('promised')
      async promised(): Promise<Observable<never>> {
        return EMPTY;
      }
      @OnStreamAssigned('failing')
      failing(): Observable<never> {
        return throwError(() => new TypeError('broken'));
      }
      @OnStreamAssigned('refused')
      refused(): Observable<never> {
        return throwError(() => new Refused('later'));
      }
      @UseInterceptors({ intercept: () => EMPTY })
      @OnStreamAssigned('intercepted')
      intercepted(): void {}
    }
    const { engine } = await appOf(place(Orders));
    expect(await engine.assign('many')).toBe(3);
    expect(await engine.assign('empty')).toBeUndefined();
    expect(await engine.assign('promised')).toBeUndefined();
    expect(await engine.assign('intercepted')).toBeUndefined();
    await expect(engine.assign('failing')).rejects.toThrow('broken');
    expect(await engine.assign('refused')).toBe('clerk: later order-1 rpc');
  });

  it('global enhancers of the application apply', async () => {
    const order: string[] = [];
    const guard: CanActivate = { canActivate: () => order.push('guard') > 0 };
    const interceptor: NestInterceptor = { intercept: (_context, next) => (order.push('interceptor'), next.handle()) };
    const filter: ExceptionFilter = { catch: (error: Error) => `filtered ${error.message}` };
    @Place()
    class Orders {
      @OnStreamAssigned('orders')
      run(@Payload('name') name: string): void {
        throw new Error(name);
      }
    }
    const parts = place(Orders) as { providers: unknown[] };
    const { engine } = await appOf({
      ...parts,
      providers: [
        ...(parts.providers as []),
        { provide: APP_GUARD, useValue: guard }, { provide: APP_INTERCEPTOR, useValue: interceptor },
        { provide: APP_FILTER, useValue: filter }, { provide: APP_PIPE, useClass: Upper },
      ],
    });
    expect(await engine.assign('orders', fakeLease({ name: 'ann' }))).toBe('filtered ANN');
    expect(order).toEqual(['guard', 'interceptor']);
  });
});

it('a filter that returns nothing has only looked: the exception stands, and Nest does not log it a second time', async () => {
  const logged = vi.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
  const looked: string[] = [];
  @Catch()
  class Looks implements ExceptionFilter {
    catch(error: Error): void {
      looked.push(error.message);
    }
  }
  @Catch()
  class LooksLonger implements ExceptionFilter {
    async catch(error: Error): Promise<void> {
      await nextTick();
      looked.push(error.message);
    }
  }
  @Injectable()
  class Orders {
    @UseFilters(Looks)
    @OnStreamAssigned('sync')
    sync(): void {
      throw new Error('sync');
    }
    @UseFilters(LooksLonger)
    @OnStreamAssigned('async')
    async(): void {
      throw new Error('async');
    }
    @UseFilters({ catch: () => null } as never)
    @OnStreamAssigned('null')
    nothing(): void {
      throw new Error('handled with null');
    }
    @OnStreamAssigned('bare')
    bare(): void {
      throw new Error('bare');
    }
  }
  const { engine } = await appOf({ providers: [Orders] });
  await expect(engine.assign('sync')).rejects.toThrow('sync');
  await expect(engine.assign('async')).rejects.toThrow('async');
  await expect(engine.assign('bare')).rejects.toThrow('bare');
  expect(looked).toEqual(['sync', 'async']);
  expect(logged).not.toHaveBeenCalled();
});

it('classes of one name in two modules keep their own parameters and their own enhancers', async () => {
  const make = (service: string, key: string): { module: new () => object } => {
    @Injectable()
    class Limit {
      readonly allowed = [key];
    }
    @Injectable()
    class Tag implements NestInterceptor {
      constructor(private readonly limit: Limit) {}
      intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
        return next.handle().pipe(map((value) => `${this.limit.allowed[0]}=${String(value)}`));
      }
    }
    @Injectable()
    class Handlers {
      @UseInterceptors(Tag)
      @OnStreamAssigned(service)
      run(@Payload(key) value: unknown): unknown {
        return value;
      }
    }
    @Module({ providers: [Limit, Handlers] })
    class Feature {}
    return { module: Feature };
  };
  const { engine } = await appOf({ imports: [make('one', 'a').module, make('two', 'b').module] });
  expect(await engine.assign('one', fakeLease({ a: 1, b: 2 }))).toBe('a=1');
  expect(await engine.assign('two', fakeLease({ a: 1, b: 2 }))).toBe('b=2');
});
