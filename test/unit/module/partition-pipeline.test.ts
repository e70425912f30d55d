import {
  type ArgumentsHost, type CallHandler, type CanActivate, Catch, Controller, createParamDecorator, type ExceptionFilter, type ExecutionContext,
  Inject, Injectable, type NestInterceptor, type PipeTransform, Scope, UseFilters, UseGuards, UseInterceptors, UsePipes,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE, REQUEST } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { HandlerRequest, type PartitionBatchContext, type PartitionContext, PartitionHandler } from 'nestjs-redis-streams';
import { EMPTY, from, map, type Observable, of, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { appOf, fakeMessage } from './support/fake-engine.js';

const Key = createParamDecorator((suffix: string, context: ExecutionContext) => `${context.switchToRpc().getContext<PartitionContext>().key}${suffix}`);
const Later = createParamDecorator(async (_data: unknown, context: ExecutionContext) => context.switchToRpc().getData<{ amount: number }>().amount);

class Refused extends Error {}

@Injectable()
class Names {
  readonly clerk = 'ann';
}
@Injectable()
class OnlyPositive implements CanActivate {
  constructor(private readonly names: Names) {}
  canActivate(context: ExecutionContext): boolean {
    const { amount } = context.switchToRpc().getData<{ amount: number }>();
    return amount > 0 && this.names.clerk === 'ann' && context.getType<string>() === 'rpc';
  }
}
@Injectable()
class Signed implements NestInterceptor {
  constructor(private readonly names: Names) {}
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((value) => `${this.names.clerk}: ${String(value)}`));
  }
}
@Catch(Refused)
class Answer implements ExceptionFilter {
  constructor(@Inject(Names) private readonly names: Names) {}
  catch(error: Refused, host: ArgumentsHost): Observable<string> {
    return of(`${this.names.clerk}: ${error.message} ${host.switchToRpc().getContext<PartitionContext>().id} ${host.getType()}`);
  }
}
@Injectable()
class Doubling implements PipeTransform {
  transform(value: unknown): unknown {
    return typeof value === 'number' ? value * 2 : value;
  }
}

describe.each(['provider', 'controller'] as const)('around a partition handler on a %s', (kind) => {
  const Place = kind === 'provider' ? Injectable : (Controller as () => ClassDecorator);
  const start = (handler: new (...args: never[]) => object, ...more: object[]): ReturnType<typeof appOf> =>
    appOf(kind === 'provider' ? { providers: [handler, Names, ...more as []] } : { controllers: [handler], providers: [Names, ...more as []] });

  it('without parameter decorators it gets data and context, and a synchronous one is done when it returns', async () => {
    @Place()
    class Ledger {
      @PartitionHandler({ stream: 'plain', group: 'g' })
      plain(...args: unknown[]): unknown[] {
        return args;
      }
      @PartitionHandler({ stream: 'throws', group: 'g' })
      throws(): void {
        throw new TypeError('at once');
      }
    }
    const { engine } = await start(Ledger);
    const context = fakeMessage({ amount: 7 });
    expect(engine.deliver('plain', context.data, context)).toEqual([context.data, context]);
    expect(() => engine.deliver('throws', 1)).toThrow(TypeError);
  });

  it('parameter decorators give it what they name, at once as well; what one promises is awaited', async () => {
    @Place()
    class Ledger {
      @PartitionHandler({ stream: 'named', group: 'g' })
      named(@Payload('amount') amount: unknown, _undecorated: unknown, @Ctx() context: unknown, @Payload() data: unknown, @Key('!') key: unknown, @Payload('constructor') inherited: unknown): unknown[] {
        return [amount, _undecorated, context, data, key, inherited];
      }
      @PartitionHandler({ stream: 'later', group: 'g' })
      later(@Later() amount: unknown): unknown {
        return amount;
      }
    }
    const { engine } = await start(Ledger);
    const context = fakeMessage({ amount: 7 });
    expect(engine.deliver('named', context.data, context)).toEqual([7, undefined, context, { amount: 7 }, 'k!', undefined]);
    const later = engine.deliver('later', context.data, context);
    expect(later).toBeInstanceOf(Promise);
    expect(await later).toBe(7);
  });

  it('guards, pipes, interceptors and filters given as classes run, with their dependencies', async () => {
    @Place()
    @UseFilters(Answer)
    class Ledger {
      @UseGuards(OnlyPositive)
      @PartitionHandler({ stream: 'guarded', group: 'g' })
      guarded(data: unknown, context: PartitionContext): unknown {
        return [data, context.id];
      }
      @UsePipes(Doubling)
      @PartitionHandler({ stream: 'piped', group: 'g' })
      piped(@Payload('amount') amount: number, @Payload('amount', { transform: (value: number) => value + 1 }) more: number): unknown {
        return [amount, more];
      }
      @UseInterceptors(Signed)
      @PartitionHandler({ stream: 'intercepted', group: 'g' })
      intercepted(@Payload('amount') amount: number): number {
        return amount;
      }
      @PartitionHandler({ stream: 'caught', group: 'g' })
      caught(): void {
        throw new Refused('no');
      }
      @PartitionHandler({ stream: 'caught-later', group: 'g' })
      async caughtLater(): Promise<void> {
        throw new Refused('no');
      }
      @PartitionHandler({ stream: 'other', group: 'g' })
      other(): void {
        throw new TypeError('not for this filter');
      }
    }
    const { engine } = await start(Ledger);
    expect(await engine.deliver('guarded', { amount: 1 })).toEqual([{ amount: 1 }, '1-0']);
    await expect(engine.deliver('guarded', { amount: -1 })).rejects.toThrow('Forbidden');
    expect(await engine.deliver('piped', { amount: 3 })).toEqual([6, 7]);
    expect(await engine.deliver('intercepted', { amount: 3 })).toBe('ann: 3');
    expect(await engine.deliver('caught', {})).toBe('ann: no 1-0 rpc');
    expect(await engine.deliver('caught-later', {})).toBe('ann: no 1-0 rpc');
    await expect(engine.deliver('other', {})).rejects.toThrow(TypeError);
  });

  it('global ones apply too', async () => {
    const order: string[] = [];
    @Place()
    class Ledger {
      @PartitionHandler({ stream: 'all', group: 'g' })
      all(@Payload('amount') amount: number): void {
        throw new Error(String(amount));
      }
    }
    const { engine } = await start(
      Ledger,
      { provide: APP_GUARD, useValue: { canActivate: () => order.push('guard') > 0 } },
      { provide: APP_PIPE, useClass: Doubling },
      { provide: APP_FILTER, useValue: { catch: (error: Error) => `filtered ${error.message}` } },
    );
    expect(await engine.deliver('all', { amount: 4 })).toBe('filtered 8');
    expect(order).toEqual(['guard']);
  });

  it('a returned Observable is awaited to its end, and its failure is the handler\'s, which filters see', async () => {
    @Place()
    @UseFilters(Answer)
    class Ledger {
      @PartitionHandler({ stream: 'many', group: 'g' })
      many(): Observable<number> {
        return from([1, 2, 3]);
      }
      @PartitionHandler({ stream: 'empty', group: 'g' })
      async empty(): Promise<Observable<never>> {
        return EMPTY;
      }
      @PartitionHandler({ stream: 'failing', group: 'g' })
      failing(): Observable<never> {
        return throwError(() => new TypeError('broken'));
      }
      @PartitionHandler({ stream: 'refused', group: 'g' })
      async refused(): Promise<Observable<never>> {
        return throwError(() => new Refused('no'));
      }
      @PartitionHandler({ stream: 'lazy', group: 'g' })
      lazy(): PromiseLike<string> {
        // A query builder: runs when `then` is called, and that returns nothing useful.
        // oxlint-disable-next-line unicorn/no-thenable
        return { then: (done: (value: string) => void) => void done('ran') } as unknown as PromiseLike<string>;
      }
    }
    const { engine } = await start(Ledger);
    expect(await engine.deliver('many', 1)).toBe(3);
    expect(await engine.deliver('empty', 1)).toBeUndefined();
    await expect(engine.deliver('failing', 1)).rejects.toThrow('broken');
    expect(await engine.deliver('refused', 1)).toBe('ann: no 1-0 rpc');
    expect(await engine.deliver('lazy', 1)).toBe('ran');
  });

  it('batches: the data of all, and their context', async () => {
    @Place()
    class Ledger {
      @PartitionHandler({ stream: 'plain', group: 'g', batch: 10 })
      plain(data: number[], { messages }: PartitionBatchContext<number>): unknown {
        return [data, messages.length];
      }
      @PartitionHandler({ stream: 'named', group: 'g', batch: 10 })
      named(@Payload() data: number[], @Ctx() { messages }: PartitionBatchContext<number>): unknown {
        return [data, messages.length];
      }
    }
    const { engine } = await start(Ledger);
    const context = { ...fakeMessage(1), messages: [1, 2].map((data) => fakeMessage(data)) };
    for (const stream of ['plain', 'named']) expect(engine.deliverBatch(stream, [1, 2], context)).toEqual([[1, 2], 2]);
  });

  it('request scope: an instance for every message, with stream, data and context as REQUEST', async () => {
    @(kind === 'provider' ? Injectable({ scope: Scope.REQUEST }) : Controller({ scope: Scope.REQUEST }))
    class Ledger {
      static made = 0;
      readonly id = (Ledger.made += 1);
      constructor(@Inject(REQUEST) private readonly request: HandlerRequest<{ amount: number }, PartitionContext>, private readonly names: Names) {}
      @UseGuards(OnlyPositive)
      @PartitionHandler({ stream: 'payments', namespace: 'shop', group: 'g' })
      book(@Payload('amount') amount: number, @Ctx() context: PartitionContext): unknown {
        return [this.id, amount, this.request.getPattern(), this.request.data.amount, this.request.context === context, this.names.clerk];
      }
    }
    const { engine } = await start(Ledger);
    const answers = await Promise.all([1, 2].map(async (amount) => engine.deliver('payments', { amount })));
    expect(answers).toEqual([[1, 1, 'shop:payments', 1, true, 'ann'], [2, 2, 'shop:payments', 2, true, 'ann']]);
    await expect(engine.deliver('payments', { amount: -1 })).rejects.toThrow('Forbidden');
  });
});
