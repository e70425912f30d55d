import {
  type CallHandler, type CanActivate, Catch, Controller, type ExceptionFilter, type ExecutionContext, Inject, Injectable, type NestInterceptor,
  type PipeTransform, Scope, UseFilters, UseGuards, UseInterceptors,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { type EjectedSubscriber, type HandlerRequest, OnRoomEjected, OnRoomMessage, type RoomContext } from 'nestjs-redis-streams';
import { EMPTY, map, type Observable, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { appOf, fakeRoomMessage } from './support/fake-engine.js';

@Injectable()
class OnlyPositive implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToRpc().getData<{ n: number }>().n > 0 && context.getType<string>() === 'rpc';
  }
}
@Injectable()
class Signed implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((value) => `${context.switchToRpc().getContext<RoomContext>().room}: ${String(value)}`));
  }
}
@Injectable()
class Doubled implements PipeTransform {
  transform(value: number): number {
    return value * 2;
  }
}
class Refused extends Error {}
@Catch(Refused)
class Answer implements ExceptionFilter {
  catch(error: Refused): string {
    return `answered ${error.message}`;
  }
}

describe.each(['provider', 'controller'] as const)('around a room handler on a %s', (kind) => {
  const Place = kind === 'provider' ? Injectable : (Controller as () => ClassDecorator);
  const start = (handler: new (...args: never[]) => object): ReturnType<typeof appOf> => appOf(kind === 'provider' ? { providers: [handler] } : { controllers: [handler] });

  it('without parameter decorators it gets data and context, and a synchronous one is done when it returns', async () => {
    @Place()
    class Plain {
      @OnRoomMessage('plain')
      plain(...args: unknown[]): unknown[] {
        return args;
      }
      @OnRoomMessage('throws')
      throws(): void {
        throw new TypeError('at once');
      }
    }
    const { engine } = await start(Plain);
    const context = fakeRoomMessage({ n: 7 });
    expect(engine.show('plain', context.data, context)).toEqual([[context.data, context]]);
    expect(() => engine.show('throws', 1)).toThrow(TypeError);
  });

  it('parameter decorators, guards, pipes, interceptors and filters do what they do elsewhere', async () => {
    @Place()
    @UseFilters(Answer)
    class Full {
      @OnRoomMessage('named')
      named(@Ctx() context: unknown, @Payload('n') n: unknown, @Payload() data: unknown): unknown[] {
        return [context, n, data];
      }
      @UseGuards(OnlyPositive)
      @UseInterceptors(Signed)
      @OnRoomMessage('all')
      all(@Payload('n', Doubled) n: number): number {
        if (n > 100) throw new Refused('too many');
        return n;
      }
      @OnRoomMessage('empty')
      empty(): Observable<never> {
        return EMPTY;
      }
      @OnRoomMessage('failing')
      failing(): Observable<never> {
        return throwError(() => new TypeError('broken'));
      }
    }
    const { engine } = await start(Full);
    const context = fakeRoomMessage({ n: 7 });
    expect(engine.show('named', context.data, context)).toEqual([[context, 7, context.data]]);
    expect(await engine.show('all', { n: 3 })[0]).toBe('lobby: 6');
    expect(await engine.show('all', { n: 51 })[0]).toBe('answered too many');
    await expect(engine.show('all', { n: -1 })[0]).rejects.toThrow('Forbidden');
    expect(await engine.show('empty', 1)[0]).toBeUndefined();
    await expect(engine.show('failing', 1)[0]).rejects.toThrow('broken');
  });

  it('request scope: an instance for every message and event, with pattern, data and context as REQUEST', async () => {
    const out: unknown[] = [];
    @(kind === 'provider' ? Injectable({ scope: Scope.REQUEST }) : Controller({ scope: Scope.REQUEST }))
    class Scoped {
      static made = 0;
      readonly id = (Scoped.made += 1);
      constructor(@Inject(REQUEST) private readonly request: HandlerRequest<{ n: number }, RoomContext>) {}
      @OnRoomMessage('game.*')
      message({ n }: { n: number }, context: RoomContext): unknown {
        return [this.id, n, this.request.pattern, this.request.data.n, this.request.context === context];
      }
      @OnRoomEjected('game.*')
      ejected(event: EjectedSubscriber): void {
        out.push(this.id, (this.request.data as unknown) === event);
      }
    }
    const { engine } = await start(Scoped);
    const answers = await Promise.all([1, 2].flatMap((n) => engine.show('game.*', { n })));
    expect(answers).toEqual([[1, 1, 'game.*', 1, true], [2, 2, 'game.*', 2, true]]);
    const event: EjectedSubscriber = { room: 'game.1', subscriber: 'c1/1', reason: 'failed', messageId: '7', rejoins: true };
    await engine.roomHandlers('game.*')[0]?.ejected?.(event);
    expect(out).toEqual([3, true]);
  });
});
