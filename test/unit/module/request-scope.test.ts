import { CanActivate, Controller, ExecutionContext, Inject, Injectable, Scope, UseGuards } from '@nestjs/common';
import { ContextIdFactory, type ContextId, type ContextIdStrategy, type HostComponentInfo, REQUEST } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { HandlerRequest, OnStreamAssigned, type StreamLease } from 'nestjs-redis-streams';
import { afterEach, describe, expect, it } from 'vitest';
import { appOf, fakeLease } from './support/fake-engine.js';

afterEach(() => ContextIdFactory.apply(undefined as never));

describe.each(['provider', 'controller'] as const)('request scope on a %s', (kind) => {
  const place = (handler: new (...args: never[]) => object, ...more: object[]): object =>
    kind === 'provider' ? { providers: [handler, ...more] } : { controllers: [handler], providers: more };
  const Place = (scope?: Scope, durable?: boolean): ClassDecorator =>
    kind === 'provider' ? Injectable({ scope, durable }) : Controller({ scope, durable });

  it('makes an instance for every stream, with info and lease as REQUEST', async () => {
    let made = 0;
    const requests: HandlerRequest[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Tenant {
      constructor(@Inject(REQUEST) readonly request: HandlerRequest<{ tenant: string }, StreamLease>) {}
    }
    @Place(Scope.REQUEST)
    class Orders {
      readonly id = (made += 1);
      constructor(@Inject(REQUEST) private readonly request: HandlerRequest, private readonly tenant: Tenant) {
        requests.push(this.request);
      }
      @OnStreamAssigned('orders')
      run(lease: StreamLease): unknown {
        return [this.id, this.tenant.request.data.tenant, this.tenant.request.getContext() === lease, this.tenant.request === this.request];
      }
    }
    const { engine } = await appOf(place(Orders, Tenant));
    expect(made).toBe(0);
    const answers = await Promise.all(['a', 'b'].map((tenant) => engine.assign('orders', fakeLease({ tenant }))));
    expect(answers.map((answer) => (answer as unknown[]).slice(1))).toEqual([['a', true, true], ['b', true, true]]);
    expect(made).toBe(2);
    expect(requests[0]?.getPattern()).toBe('orders');
  });

  it('a static class with a request-scoped dependency, a request-scoped guard, and parameter decorators', async () => {
    const guarded: unknown[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Work {
      constructor(@Inject(REQUEST) readonly request: HandlerRequest) {}
    }
    @Injectable({ scope: Scope.REQUEST })
    class Guard implements CanActivate {
      constructor(private readonly work: Work) {}
      canActivate(context: ExecutionContext): boolean {
        guarded.push([this.work.request.context === context.switchToRpc().getContext(), context.getHandler().name]);
        return true;
      }
    }
    @Place()
    @UseGuards(Guard)
    class Orders {
      constructor(private readonly work: Work) {}
      @OnStreamAssigned('orders')
      run(@Payload('amount') amount: number, @Ctx() lease: StreamLease): unknown {
        return [amount, lease === this.work.request.context];
      }
    }
    const { engine } = await appOf(place(Orders, Work));
    expect(await engine.assign('orders')).toEqual([7, true]);
    expect(guarded).toEqual([[true, 'run']]);
  });

  it('transient classes get an instance per stream too', async () => {
    let made = 0;
    @Place(Scope.TRANSIENT)
    class Orders {
      readonly id = (made += 1);
      @OnStreamAssigned('orders')
      run(): number {
        return this.id;
      }
    }
    const { engine } = await appOf(place(Orders));
    expect(await engine.assign('orders')).not.toBe(await engine.assign('orders'));
  });

  it('durable ones are made once per tenant of the strategy', async () => {
    const parents = new Map<string, ContextId>();
    class ByTenant implements ContextIdStrategy<HandlerRequest<{ tenant: string }>> {
      attach(contextId: ContextId, { data }: HandlerRequest<{ tenant: string }>): { resolve: (info: HostComponentInfo) => ContextId; payload: unknown } {
        const parent = parents.get(data.tenant) ?? ContextIdFactory.create();
        parents.set(data.tenant, parent);
        return { resolve: (info) => (info.isTreeDurable ? parent : contextId), payload: { tenant: data.tenant } };
      }
    }
    ContextIdFactory.apply(new ByTenant());
    let made = 0;
    @Place(Scope.REQUEST, true)
    class Orders {
      readonly id = (made += 1);
      constructor(@Inject(REQUEST) private readonly payload: { tenant: string }) {}
      @OnStreamAssigned('orders')
      run(): unknown {
        return [this.payload.tenant, this.id];
      }
    }
    const { engine } = await appOf(place(Orders));
    const answers = [];
    for (const tenant of ['a', 'b', 'a']) answers.push(await engine.assign('orders', fakeLease({ tenant })));
    expect(answers).toEqual([['a', 1], ['b', 2], ['a', 1]]);
  });

  it('a constructor that throws is a failure of this stream alone', async () => {
    @Place(Scope.REQUEST)
    class Orders {
      constructor(@Inject(REQUEST) { data }: HandlerRequest<{ amount: number }>) {
        if (data.amount < 0) throw new Error('negative');
      }
      @OnStreamAssigned('orders')
      run(): string {
        return 'ran';
      }
    }
    const { engine } = await appOf(place(Orders));
    await expect(engine.assign('orders', fakeLease({ amount: -1 }))).rejects.toThrow('negative');
    expect(await engine.assign('orders')).toBe('ran');
  });
});
