import {
  type ArgumentMetadata, type CallHandler, type CanActivate, Catch, Controller, type ExceptionFilter, type ExecutionContext, Inject, Injectable, type NestInterceptor, type PipeTransform, Scope,
  UseFilters, UseGuards, UseInterceptors, UsePipes,
} from '@nestjs/common';
import { type ContextId, ContextIdFactory, type ContextIdStrategy, type HostComponentInfo, REQUEST } from '@nestjs/core';
import { Ctx, EventPattern, MessagePattern, Payload, type RequestContext, RpcException } from '@nestjs/microservices';
import { REDIS_STREAMS_TRANSPORT, RedisStreamsContext, RedisStreamsRecord } from 'nestjs-redis-streams/transport';
import { map, type Observable, throwError } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { ask, failureOf, Net, waitUntil } from './support/net.js';

const net = new Net();
let log: unknown[] = [];
beforeEach(() => void (log = []));

let made = 0;
@Injectable({ scope: Scope.REQUEST })
class PerRequest {
  readonly number = ++made;
  constructor(@Inject(REQUEST) readonly request: RequestContext<unknown, RedisStreamsContext>) {}
}
@Controller()
class Scoped {
  constructor(private readonly own: PerRequest) {}
  @MessagePattern('scoped')
  scoped(@Payload() data: unknown): object {
    const { data: seen, pattern, context } = this.own.request as unknown as { data: unknown; pattern: string; context: RedisStreamsContext };
    return { data, seen, pattern, isOurs: context instanceof RedisStreamsContext, attempt: context.attempt, number: this.own.number };
  }
  @EventPattern<unknown>('scoped event')
  async event(@Payload() data: string, @Ctx() { attempt }: RedisStreamsContext): Promise<void> {
    log.push([data, attempt, this.own.number]);
    if (attempt === 1) throw new Error('again');
  }
}

describe('request-scoped controllers', () => {
  it('have the context in REQUEST, and are made anew for each request and each attempt of an event', async () => {
    made = 0;
    await net.serve({ controllers: [Scoped], providers: [PerRequest] });
    const client = net.client();
    const replies = [await ask<{ number: number }>(client, 'scoped', { n: 1 }), await ask<{ number: number }>(client, 'scoped', { n: 2 })];
    expect(replies[0]).toEqual({ data: { n: 1 }, seen: { n: 1 }, pattern: 'scoped', isOurs: true, attempt: 1, number: expect.any(Number) });
    expect(replies[1]!.number).not.toBe(replies[0]!.number);
    await client.emitAsync('scoped event', 'e');
    await waitUntil(() => log.length === 2, { what: 'it has run twice' });
    expect(log.map((line) => (line as unknown[]).slice(0, 2))).toEqual([['e', 1], ['e', 2]]);
    expect((log[0] as unknown[])[2]).not.toBe((log[1] as unknown[])[2]);
  });
});

/** One instance of durable providers per tenant, which stands in the headers. */
class Tenants implements ContextIdStrategy<RequestContext<unknown, RedisStreamsContext>> {
  private readonly ids = new Map<string, ContextId>();
  attach(contextId: ContextId, request: RequestContext<unknown, RedisStreamsContext>) {
    const tenant = request.getContext?.()?.headers?.['tenant'];
    if (tenant === undefined) return () => contextId;
    let id = this.ids.get(tenant);
    if (!id) this.ids.set(tenant, (id = ContextIdFactory.create()));
    return { resolve: (info: HostComponentInfo) => (info.isTreeDurable ? id : contextId), payload: { tenant } };
  }
}
let tenants = 0;
@Injectable({ scope: Scope.REQUEST, durable: true })
class Tenant {
  readonly number = ++tenants;
  constructor(@Inject(REQUEST) readonly request: { tenant: string }) {}
}
@Controller({ scope: Scope.REQUEST, durable: true })
class ByTenant {
  constructor(private readonly tenant: Tenant) {}
  @MessagePattern('tenant')
  ofTenant(): string {
    return `${this.tenant.request.tenant} ${this.tenant.number}`;
  }
}

describe('durable providers', () => {
  it('are made once for each of what the strategy tells apart by the context', async () => {
    tenants = 0;
    ContextIdFactory.apply(new Tenants() as never);
    try {
      await net.serve({ controllers: [ByTenant], providers: [Tenant] });
      const client = net.client();
      const of = (tenant: string): Promise<unknown> => ask(client, 'tenant', new RedisStreamsRecord(1, { headers: { tenant } }));
      expect([await of('a'), await of('b'), await of('a'), await of('b')]).toEqual(['a 1', 'b 2', 'a 1', 'b 2']);
    } finally {
      ContextIdFactory.apply({ attach: (contextId) => () => contextId });
    }
  });
});

@Injectable()
class Guard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const rpc = context.switchToRpc();
    log.push(['guard', context.getType(), rpc.getContext<RedisStreamsContext>().headers['role'] ?? null]);
    return rpc.getContext<RedisStreamsContext>().headers['role'] !== 'nobody';
  }
}
@Injectable()
class Doubling implements PipeTransform {
  transform(value: unknown, { type }: ArgumentMetadata): unknown {
    return type === 'body' && typeof value === 'number' ? value * 2 : value;
  }
}
@Injectable()
class Positive implements PipeTransform {
  async transform(value: number): Promise<number> {
    if (!(value > 0)) throw new RpcException({ status: 'invalid', value });
    return value;
  }
}
@Injectable()
class Wrapping implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((value: unknown) => ({ wrapped: value })));
  }
}
class Refused extends Error {}
@Catch(Refused)
class RefusedFilter implements ExceptionFilter {
  catch(error: Refused): Observable<never> {
    log.push(['filter', error.message]);
    return throwError(() => ({ refused: error.message }));
  }
}

class Inherited {
  @MessagePattern('inherited')
  inherited(@Payload() data: unknown): unknown {
    return { inherited: data };
  }
}
@Controller()
@UseGuards(Guard)
@UseFilters(RefusedFilter)
class Enhanced extends Inherited {
  @MessagePattern('enhanced')
  @UsePipes(Doubling)
  @UseInterceptors(Wrapping)
  async enhanced(@Payload(Positive) n: number): Promise<number> {
    return n;
  }
  @MessagePattern('part')
  part(@Payload('id', Positive) id: number, @Payload('name') name: string): string {
    return `${id} ${name}`;
  }
  @MessagePattern('refused')
  refused(): never {
    throw new Refused('because');
  }
  @EventPattern<unknown>('guarded')
  guarded(@Payload() data: unknown): void {
    log.push(['ran', data]);
  }
}

describe('guards, pipes, interceptors, filters and inheritance', () => {
  it('of requests', async () => {
    await net.serve({ controllers: [Enhanced] });
    const client = net.client();
    expect(await ask(client, 'enhanced', 4)).toEqual({ wrapped: 8 });
    expect(await failureOf(ask(client, 'enhanced', -4))).toEqual({ status: 'invalid', value: -8 });
    expect(await ask(client, 'part', { id: 3, name: 'x' })).toBe('3 x');
    expect(await ask(client, 'inherited', 1)).toEqual({ inherited: 1 });
    expect(log).toContainEqual(['guard', 'rpc', null]);
    expect(await failureOf(ask(client, 'refused', 1))).toEqual({ refused: 'because' });
    expect(log).toContainEqual(['filter', 'because']);
    expect(await failureOf(ask(client, 'inherited', new RedisStreamsRecord(1, { headers: { role: 'nobody' } })))).toMatchObject({ status: 'error', message: 'Forbidden resource' });
  });

  it('of events: what a guard refuses is tried again, and then a dead letter', async () => {
    await net.serve({ controllers: [Enhanced] }, { transport: { events: { retry: { maxAttempts: 2, initialMs: 10 } } } });
    const client = net.client();
    await client.emitAsync('guarded', 1);
    await client.emitAsync('guarded', new RedisStreamsRecord(2, { headers: { role: 'nobody' } }));
    const letters = await net.letters(client, 'event.guarded');
    await waitUntil(async () => (await letters.count()) === 1, { what: 'one is a dead letter' });
    expect((await letters.list())[0]).toMatchObject({ data: 2, attempts: 2, headers: { role: 'nobody' } });
    expect(log.filter((line) => (line as unknown[])[0] === 'ran')).toEqual([['ran', 1]]);
  });
});

describe('handlers of one transport among several', () => {
  it('by its symbol are this one\'s', async () => {
    @Controller()
    class Both {
      @MessagePattern('ours', REDIS_STREAMS_TRANSPORT)
      ours(): string {
        return 'ours';
      }
      @MessagePattern('theirs', Symbol('another'))
      theirs(): string {
        return 'theirs';
      }
    }
    await net.serve([Both]);
    const client = net.client({ transport: { handlerWaitMs: 200 } });
    expect(await ask(client, 'ours', 1)).toBe('ours');
    expect(await failureOf(ask(client, 'theirs', 1))).toMatchObject({ code: 'NO_HANDLER' });
  });
});
