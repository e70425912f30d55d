import {
  type ArgumentsHost, type CanActivate, Catch, Controller, type ExceptionFilter, type ExecutionContext, Inject, Injectable, Scope, UseFilters, UseGuards,
} from '@nestjs/common';
import { APP_GUARD, APP_PIPE, REQUEST } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { type HandlerRequest, type QueueContext, QueueHandler } from 'nestjs-redis-streams';
import { from, type Observable, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { appOf, fakeQueueMessage } from './support/fake-engine.js';

class Refused extends Error {}

@Injectable()
class Names {
  readonly clerk = 'ann';
}
@Injectable()
class OnlyPositive implements CanActivate {
  constructor(private readonly names: Names) {}
  canActivate(context: ExecutionContext): boolean {
    return context.switchToRpc().getData<{ amount: number }>().amount > 0 && this.names.clerk === 'ann' && context.getType<string>() === 'rpc';
  }
}
@Catch(Refused)
class Answer implements ExceptionFilter {
  constructor(@Inject(Names) private readonly names: Names) {}
  catch(error: Refused, host: ArgumentsHost): string {
    return `${this.names.clerk}: ${error.message} ${host.switchToRpc().getContext<QueueContext>().id}`;
  }
}
@Injectable()
class Doubling {
  transform(value: unknown): unknown {
    return typeof value === 'number' ? value * 2 : value;
  }
}

describe.each(['provider', 'controller'] as const)('around a queue handler on a %s', (kind) => {
  const Place = kind === 'provider' ? Injectable : (Controller as () => ClassDecorator);
  const start = (handler: new (...args: never[]) => object, ...more: object[]): ReturnType<typeof appOf> =>
    appOf(kind === 'provider' ? { providers: [handler, Names, ...more as []] } : { controllers: [handler], providers: [Names, ...more as []] });

  it('plain or decorated parameters; a synchronous one is done when it returns', async () => {
    @Place()
    class Jobs {
      @QueueHandler('plain')
      plain(...args: unknown[]): unknown[] {
        return args;
      }
      @QueueHandler('named')
      named(@Payload('amount') amount: unknown, @Ctx() context: unknown, @Payload() data: unknown, @Payload('constructor') inherited: unknown): unknown[] {
        return [amount, context, data, inherited];
      }
      @QueueHandler('throws')
      throws(): void {
        throw new TypeError('at once');
      }
    }
    const { engine } = await start(Jobs);
    const context = fakeQueueMessage({ amount: 7 });
    expect(engine.work('plain', context.data, context)).toEqual([context.data, context]);
    expect(engine.work('named', context.data, context)).toEqual([7, context, { amount: 7 }, undefined]);
    expect(() => engine.work('throws', 1)).toThrow(TypeError);
  });

  it('guards and filters given as classes run with their dependencies; Observables are awaited', async () => {
    @Place()
    @UseFilters(Answer)
    class Jobs {
      @UseGuards(OnlyPositive)
      @QueueHandler('guarded')
      guarded(data: unknown, context: QueueContext): unknown {
        return [data, context.id];
      }
      @QueueHandler('caught')
      async caught(): Promise<void> {
        throw new Refused('no');
      }
      @QueueHandler('other')
      other(): void {
        throw new TypeError('not for this filter');
      }
      @QueueHandler('many')
      many(): Observable<number> {
        return from([1, 2, 3]);
      }
      @QueueHandler('failing')
      failing(): Observable<never> {
        return throwError(() => new TypeError('broken'));
      }
    }
    const { engine } = await start(Jobs);
    expect(await engine.work('guarded', { amount: 1 })).toEqual([{ amount: 1 }, '1-0']);
    await expect(engine.work('guarded', { amount: -1 })).rejects.toThrow('Forbidden');
    expect(await engine.work('caught', {})).toBe('ann: no 1-0');
    await expect(engine.work('other', {})).rejects.toThrow(TypeError);
    expect(await engine.work('many', {})).toBe(3);
    await expect(engine.work('failing', {})).rejects.toThrow('broken');
  });

  it('global ones apply too', async () => {
    const order: string[] = [];
    @Place()
    class Jobs {
      @QueueHandler('all')
      all(@Payload('amount') amount: number): number {
        return amount;
      }
    }
    const { engine } = await start(Jobs, { provide: APP_GUARD, useValue: { canActivate: () => order.push('guard') > 0 } }, { provide: APP_PIPE, useClass: Doubling });
    expect(await engine.work('all', { amount: 4 })).toBe(8);
    expect(order).toEqual(['guard']);
  });

  it('request scope: an instance for every message, with queue, data and context as REQUEST', async () => {
    @(kind === 'provider' ? Injectable({ scope: Scope.REQUEST }) : Controller({ scope: Scope.REQUEST }))
    class Jobs {
      static made = 0;
      readonly id = (Jobs.made += 1);
      constructor(@Inject(REQUEST) private readonly request: HandlerRequest<{ amount: number }, QueueContext>, private readonly names: Names) {}
      @UseGuards(OnlyPositive)
      @QueueHandler({ queue: 'jobs', namespace: 'shop' })
      work(@Payload('amount') amount: number, @Ctx() context: QueueContext): unknown {
        return [this.id, amount, this.request.getPattern(), this.request.data.amount, this.request.context === context, this.names.clerk];
      }
    }
    const { engine } = await start(Jobs);
    const answers = await Promise.all([1, 2].map(async (amount) => engine.work('jobs', { amount })));
    expect(answers).toEqual([[1, 1, 'shop:jobs', 1, true, 'ann'], [2, 2, 'shop:jobs', 2, true, 'ann']]);
    await expect(engine.work('jobs', { amount: -1 })).rejects.toThrow('Forbidden');
  });
});
