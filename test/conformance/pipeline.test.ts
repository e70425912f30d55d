import {
  type ArgumentsHost, type CallHandler, type CanActivate, Catch, Controller, type ExceptionFilter, type ExecutionContext, Inject, Injectable, type NestInterceptor,
  type PipeTransform, Scope, UseFilters, UseGuards, UseInterceptors, UsePipes,
} from '@nestjs/common';
import { BaseRpcContext, type ClientProxy, CONTEXT, Ctx, EventPattern, MessagePattern, Payload, type RequestContext, RpcException, type Server } from '@nestjs/microservices';
import { catchError, concat, EMPTY, map, type Observable, of, tap, throwError, timeout } from 'rxjs';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { waitUntil } from '../support/wait.js';
import { one, told } from './support/outcome.js';
import { overTransports } from './support/suite.js';

const seen: unknown[] = [];
const note = (...what: unknown[]): void => void seen.push(what.length === 1 ? what[0] : what);

@Injectable()
class Doubled implements PipeTransform {
  transform(value: number): number {
    if (typeof value !== 'number') throw new RpcException('no number');
    return value * 2;
  }
}
@Injectable()
class Known implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    note('guard', context.getType(), context.getHandler().name, context.getClass().name, context.switchToRpc().getContext() instanceof BaseRpcContext);
    return context.switchToRpc().getData<unknown>() !== 'unknown';
  }
}
@Injectable()
class Around implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
    note('before');
    return next.handle().pipe(map((value) => ({ value })), tap({ complete: () => note('after') }));
  }
}
@Injectable()
class InsteadOf implements NestInterceptor {
  intercept(): Observable<unknown> {
    return of('from the interceptor');
  }
}
@Injectable()
class Impatient implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(timeout(30), catchError(() => throwError(() => new RpcException('too slow'))));
  }
}
class Mine extends Error {}
@Catch(Mine)
class Told implements ExceptionFilter {
  catch(error: Mine, host: ArgumentsHost): Observable<never> {
    note('filter', host.getType());
    return throwError(() => ({ code: 'MINE', message: error.message }));
  }
}
@Catch(Mine)
class Forgiven implements ExceptionFilter {
  catch(): Observable<string> {
    return of('forgiven');
  }
}
@Injectable({ scope: Scope.REQUEST })
class PerMessage {
  static made = 0;
  readonly n = ++PerMessage.made;
  constructor(@Inject(CONTEXT) private readonly request: RequestContext) {}
  get data(): unknown {
    return this.request.getData();
  }
}

@Controller()
class Pipeline {
  @UsePipes(Doubled)
  @MessagePattern('piped')
  piped(@Payload() data: number): number {
    return data;
  }
  @MessagePattern('piped property')
  pipedProperty(@Payload('n', Doubled) n: number): number {
    return n;
  }
  @UseGuards(Known)
  @MessagePattern('guarded')
  guarded(@Payload() data: string): string {
    note('handler');
    return data;
  }
  @UseInterceptors(Around)
  @MessagePattern('around')
  around(): Observable<number> {
    note('handler');
    return of(1, 2);
  }
  @UseInterceptors(InsteadOf)
  @MessagePattern('instead')
  instead(): void {
    note('handler');
  }
  @UseInterceptors(Impatient)
  @MessagePattern('impatient')
  impatient(): Promise<never> {
    return new Promise(() => undefined);
  }
  @UseFilters(Told)
  @MessagePattern('filtered')
  async filtered(): Promise<never> {
    throw new Mine('mine');
  }
  @UseFilters(Told)
  @MessagePattern('filtered stream')
  filteredStream(): Observable<number> {
    return concat(of(1), throwError(() => new Mine('mine')));
  }
  @UseFilters(Forgiven)
  @MessagePattern('forgiven')
  forgiven(): never {
    throw new Mine('mine');
  }
  @UseFilters(Told)
  @MessagePattern('unfiltered')
  unfiltered(): never {
    throw new TypeError('not mine');
  }
  @UseGuards(Known)
  @UseInterceptors(Around)
  @UseFilters(Forgiven)
  @EventPattern('event')
  event(@Payload() data: unknown, @Ctx() context: unknown): Observable<never> {
    note('event', data, context instanceof BaseRpcContext);
    if (data === 'fail') throw new Mine('forgiven');
    return EMPTY;
  }
  @MessagePattern('metadata')
  metadata(@Ctx() context: { getMetadata(): unknown }): unknown {
    return context.getMetadata();
  }
  @EventPattern('event metadata')
  eventMetadata(@Payload() _: unknown, @Ctx() context: unknown): void {
    note((context as { getMetadata(): unknown }).getMetadata());
  }
}
@Controller()
class Scoped {
  constructor(@Inject(PerMessage) private readonly own: PerMessage) {}
  @MessagePattern('scoped')
  scoped(): unknown {
    return { n: this.own.n, data: this.own.data };
  }
  @EventPattern<string>('scoped event')
  event(): void {
    note(this.own.data);
  }
}

overTransports('the pipeline of Nest', (transport) => {
  let client: ClientProxy;
  /** [phase, how often] of the messages. */
  const hooks = { start: 0, end: 0 };
  beforeAll(async () => {
    const app = await transport().server([Pipeline, Scoped], {
      providers: [PerMessage],
      configure: (application) => {
        application.useGlobalInterceptors({ intercept: (context, next) => {
          note('global', context.getType());
          return next.handle();
        } });
        const server = Reflect.get(application, 'serverInstance') as Server;
        server.setOnProcessingStartHook((_id, _context, done) => {
          hooks.start++;
          return done();
        });
        server.setOnProcessingEndHook(() => void hooks.end++);
      },
    });
    expect(app).toBeDefined();
    client = transport().client();
    client.setOnDispatchHook((packet) => {
      Object.assign(packet, { metadata: { trace: 't-1', of: String(packet.pattern) } });
    });
    await one(client.send('piped', 1));
  });
  beforeEach(async () => {
    await waitUntil(() => hooks.start === hooks.end, { what: 'all has been handled' });
    seen.length = 0;
    hooks.start = hooks.end = 0;
  });
  const send = (pattern: string, data: unknown = 'x'): Promise<unknown[]> => told(client.send(pattern, data));
  const noted = async (count: number): Promise<unknown[]> => {
    await waitUntil(() => seen.length >= count, { what: `${count} were noted` });
    return seen;
  };

  it('pipes change data and refuse it', async () => {
    expect(await send('piped', 4)).toEqual([8, 'end']);
    expect(await send('piped', 'four')).toEqual([{ error: { status: 'error', message: 'no number' } }]);
    expect(await send('piped property', { n: 4 })).toEqual([8, 'end']);
  });
  it('guards let through and refuse', async () => {
    expect(await send('guarded', 'known')).toEqual(['known', 'end']);
    expect(await send('guarded', 'unknown')).toEqual([{ error: { status: 'error', message: 'Forbidden resource' } }]);
    const guard = ['guard', 'rpc', 'guarded', 'Pipeline', true];
    expect(seen).toEqual([guard, ['global', 'rpc'], 'handler', guard]);
  });
  it('interceptors see all values, answer themselves, and time out', async () => {
    expect(await send('around')).toEqual([{ value: 1 }, { value: 2 }, 'end']);
    expect(seen).toEqual([['global', 'rpc'], 'before', 'handler', 'after']);
    expect(await send('instead')).toEqual(['from the interceptor', 'end']);
    expect(await send('impatient')).toEqual([{ error: { status: 'error', message: 'too slow' } }]);
  });
  it('exception filters turn errors into others, or into values, and leave what is not theirs', async () => {
    expect(await send('filtered')).toEqual([{ error: { code: 'MINE', message: 'mine' } }]);
    expect(seen).toContainEqual(['filter', 'rpc']);
    expect(await send('filtered stream')).toEqual([1, { error: { code: 'MINE', message: 'mine' } }]);
    expect(await send('forgiven')).toEqual(['forgiven', 'end']);
    expect(await send('unfiltered')).toEqual([{ error: { status: 'error', message: 'Internal server error' } }]);
  });
  it('events go the same way, and what a filter forgives is done', async () => {
    await one(client.emit('event', 'good'));
    expect(await noted(5)).toEqual([['guard', 'rpc', 'event', 'Pipeline', true], ['global', 'rpc'], 'before', ['event', 'good', true], 'after']);
    seen.length = 0;
    await one(client.emit('event', 'fail'));
    await noted(4);
    await waitUntil(() => hooks.end === 2, { what: 'both were handled' });
    expect(seen).toEqual([['guard', 'rpc', 'event', 'Pipeline', true], ['global', 'rpc'], 'before', ['event', 'fail', true]]);
  });
  it('request-scoped providers are made for each message', async () => {
    const [first] = (await send('scoped', 'a')) as [{ n: number; data: unknown }];
    expect(first.data).toBe('a');
    expect(await send('scoped', 'b')).toEqual([{ n: first.n + 1, data: 'b' }, 'end']);
    await one(client.emit('scoped event', 'c'));
    expect(await noted(4)).toContain('c');
  });
  it('metadata of the dispatch hook reaches the context', async () => {
    expect(await send('metadata')).toEqual([{ trace: 't-1', of: 'metadata' }, 'end']);
    await one(client.emit('event metadata', 1));
    expect(await noted(3)).toContainEqual({ trace: 't-1', of: 'event metadata' });
  });
  it('processing hooks are called once for each message, however it ends', async () => {
    for (const pattern of ['piped', 'around', 'filtered', 'filtered stream', 'unfiltered', 'instead', 'scoped', 'impatient']) await send(pattern);
    await one(client.emit('event', 'good'));
    await one(client.emit('event', 'fail'));
    await waitUntil(() => hooks.end >= 10, { what: 'all were handled' });
    expect(hooks).toEqual({ start: 10, end: 10 });
  });
});
