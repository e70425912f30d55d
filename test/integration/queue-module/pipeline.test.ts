import {
  type CallHandler, type CanActivate, Catch, Controller, type ExceptionFilter, type ExecutionContext, Inject, Injectable, type NestInterceptor,
  type PipeTransform, Scope, UseFilters, UseGuards, UseInterceptors,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { type HandlerRequest, type QueueContext, QueueHandler, QueueService, RedisStreamsModule } from 'nestjs-redis-streams';
import { type Observable, tap } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Apps } from '../partition-module/support/apps.js';
import { deadLetters, settled } from './support/settled.js';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());
const apps = new Apps();
const retry = { maxAttempts: 2, initialMs: 5 };

@Injectable()
class Journal {
  readonly lines: string[] = [];
}
@Injectable()
class Known implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToRpc().getData<{ who?: string }>().who !== 'nobody';
  }
}
@Injectable()
class Noting implements NestInterceptor {
  constructor(private readonly journal: Journal) {}
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { id } = context.switchToRpc().getContext<QueueContext>();
    return next.handle().pipe(tap(() => this.journal.lines.push(`after ${id}`)));
  }
}
@Injectable()
class NotEmpty implements PipeTransform {
  transform(value: unknown): unknown {
    if (value === '') throw new Error('empty');
    return value;
  }
}
class Forgivable extends Error {}
@Catch(Forgivable)
class Forgiving implements ExceptionFilter {
  constructor(@Inject(Journal) private readonly journal: Journal) {}
  catch(error: Forgivable): string {
    this.journal.lines.push(`forgiven ${error.message}`);
    return 'forgiven';
  }
}

describe('a queue handler in the pipeline of Nest', () => {
  it('guard, pipe, interceptor and filter decide what is done, retried and dead', async () => {
    @Controller()
    @UseGuards(Known)
    @UseInterceptors(Noting)
    @UseFilters(Forgiving)
    class Orders {
      constructor(private readonly journal: Journal) {}
      @QueueHandler({ queue: 'orders', retry, concurrency: 1 })
      handle(@Payload('who', NotEmpty) who: string, @Ctx() context: QueueContext): void {
        this.journal.lines.push(`${who} ${context.attempt}`);
        if (who === 'sorry') throw new Forgivable('once');
      }
    }
    const app = await apps.context(redis, { imports: [RedisStreamsModule.registerQueue({ name: 'orders' })], controllers: [Orders], providers: [Journal] });
    const sent = await app.get(QueueService).sendMany('orders', ['ann', 'nobody', '', 'sorry'].map((who) => ({ id: `m-${who}`, data: { who } })));
    await settled(app, 'orders');
    expect(await deadLetters(app, 'orders')).toEqual([['m-', 'max-attempts', 'empty', 2], ['m-nobody', 'max-attempts', 'Forbidden resource', 2]]);
    expect(app.get(Journal).lines).toEqual(['ann 1', `after ${sent[0]?.id}`, 'sorry 1', 'forgiven once']);
  });

  it('request-scoped classes get an instance for every message', async () => {
    const made: unknown[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Tenant {
      constructor(@Inject(REQUEST) readonly request: HandlerRequest<{ n: number }, QueueContext>) {}
    }
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      constructor(private readonly tenant: Tenant) {}
      @QueueHandler('scoped')
      handle({ n }: { n: number }, context: QueueContext): void {
        made.push([n, this.tenant.request.data.n, this.tenant.request.context === context, this.tenant.request.pattern]);
      }
    }
    const app = await apps.context(redis, { imports: [RedisStreamsModule.registerQueue({ name: 'scoped', shards: 2 })], providers: [Scoped, Tenant] }, { queue: { namespace: 'shop' } });
    await app.get(QueueService).sendMany('scoped', [1, 2, 3].map((n) => ({ data: { n } })));
    await settled(app, 'scoped');
    expect(made.toSorted()).toEqual([1, 2, 3].map((n) => [n, n, true, 'shop:scoped']));
  });

  it('manual acknowledgement: the return does not count; refused, it is delivered again; given up, it is dead', async () => {
    const held = new Map<string, QueueContext[]>();
    @Injectable()
    class Manual {
      @QueueHandler({ queue: 'manual', ack: 'manual' })
      handle(@Payload() data: string, @Ctx() context: QueueContext): void {
        held.set(data, [...(held.get(data) ?? []), context]);
      }
    }
    const app = await apps.context(redis, { imports: [RedisStreamsModule.registerQueue({ name: 'manual' })], providers: [Manual] });
    const service = app.get(QueueService);
    await service.sendMany('manual', ['a', 'b', 'c'].map((data) => ({ data, id: data })));
    await waitUntil(() => held.size === 3, { what: 'all have run' });
    await held.get('a')?.[0]?.ack();
    await held.get('c')?.[0]?.deadLetter('not today');
    expect(await service.stats('manual')).toMatchObject({ messages: 1, pending: 1, deadLetters: 1 });
    await held.get('b')?.[0]?.nack(1);
    await waitUntil(() => held.get('b')?.length === 2, { what: 'it runs again' });
    expect(held.get('b')?.[1]).toMatchObject({ attempt: 2, redelivered: true });
    await held.get('b')?.[1]?.ack();
    await settled(app, 'manual');
    expect(await deadLetters(app, 'manual')).toEqual([['c', 'not today', '', 1]]);
  });

  it('two groups each get every message; within a group each is handled once', async () => {
    const ran: string[] = [];
    const make = (name: string): new () => object => {
      @Injectable()
      class Handlers {
        @QueueHandler('both')
        first(data: number): void {
          ran.push(`default ${data} ${name}`);
        }
        @QueueHandler({ queue: 'both', group: 'audit' })
        second(data: number): void {
          ran.push(`audit ${data} ${name}`);
        }
      }
      return Handlers;
    };
    const imports = [RedisStreamsModule.registerQueue({ name: 'both', shards: 3 })];
    const a = await apps.context(redis, { imports, providers: [make('a')] }, { consumerName: 'a' });
    await apps.context(redis, { imports, providers: [make('b')] }, { consumerName: 'b' });
    await a.get(QueueService).sendMany('both', Array.from({ length: 300 }, (_, data) => ({ data })));
    await Promise.all([settled(a, 'both'), settled(a, 'both', 'audit')]);
    expect(ran).toHaveLength(600);
    expect(new Set(ran.map((line) => line.slice(0, -2))).size).toBe(600);
    await waitUntil(async () => (await a.get(QueueService).stats('both')).messages === 0, { what: 'what both have settled is deleted' });
  });
});

describe('QueueService', () => {
  it('looks at a queue and steers it', async () => {
    const ran: unknown[] = [];
    @Injectable()
    class Handlers {
      @QueueHandler({ queue: 'steered', prefetch: 100 })
      handle(data: unknown): void {
        ran.push(data);
      }
    }
    const app = await apps.context(redis, { providers: [Handlers], imports: [RedisStreamsModule.registerQueue({ name: 'steered', shards: 3 })] }, { consumerName: 'op' });
    const service = app.get(QueueService);
    const consumer = service.consumer('steered');
    expect(consumer?.sessions()).toEqual([0, 1, 2].map(() => expect.stringMatching(/^op/)));
    expect(consumer?.load()).toEqual({ held: 0, running: 0 });
    expect(await service.stats('steered')).toMatchObject({ queue: 'steered', group: 'default', consumers: 1, paused: false, messages: 0, groups: ['default'] });

    await service.pause('steered');
    await waitUntil(async () => (await service.stats('steered')).paused, { what: 'it is paused' });
    // A read that was under way when the pause came may still bring something.
    await service.queue('steered').send('x');
    await service.sendMany('steered', [1, 2, 3].map((data) => ({ data, delayMs: 0 })));
    await service.send('steered', 'later', { delayMs: 3_600_000 });
    expect(await service.stats('steered')).toMatchObject({ delayed: 1, paused: true });
    await service.resume('steered');
    await waitUntil(() => ran.length === 4, { what: 'they have run' });
    expect(ran.toSorted()).toEqual([1, 2, 3, 'x']);

    await service.register({ name: 'at-run-time', shards: 2 });
    expect(await service.stats('at-run-time', 'nobody')).toMatchObject({ messages: 0, consumers: 0, groups: [] });
    await expect(service.register({ name: 'at-run-time', shards: 3 })).rejects.toMatchObject({ code: 'QUEUE_MISMATCH' });

    await expect(service.removeGroup('steered', 'default')).rejects.toThrow(/1 live consumers; stop them first/);
    expect(await service.shutdown('steered')).toBe(true);
    expect((await service.stats('steered')).consumers).toBe(0);
    await service.removeGroup('steered', 'default');
    expect((await service.stats('steered')).groups).toEqual([]);
    expect(await service.shutdown('steered', 'unknown')).toBe(false);
    expect(service.consumer({ queue: 'steered', namespace: 'other' })).toBeUndefined();
  });
});
