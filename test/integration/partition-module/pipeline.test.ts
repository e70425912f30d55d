import {
  type CallHandler, type CanActivate, Catch, Controller, type ExceptionFilter, type ExecutionContext, Inject, Injectable, type NestInterceptor,
  type PipeTransform, Scope, UseFilters, UseGuards, UseInterceptors,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import {
  type HandlerRequest, OnPartitionsAssigned, OnPartitionsLost, OnPartitionsRevoked, type PartitionBatchContext, type PartitionContext,
  PartitionHandler, PartitionService, type PartitionsEvent, type PartitionsRevoked, RedisStreamsModule, RedisStreamsEvents } from 'nestjs-redis-streams';
import { type Observable, tap } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Apps, committed } from './support/apps.js';

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
    const { id } = context.switchToRpc().getContext<PartitionContext>();
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

describe('a partition handler in the pipeline of Nest', () => {
  it('guard, pipe, interceptor and filter decide what is done, retried and dead', async () => {
    @Controller()
    @UseGuards(Known)
    @UseInterceptors(Noting)
    @UseFilters(Forgiving)
    class Orders {
      constructor(private readonly journal: Journal) {}
      @PartitionHandler({ stream: 'orders', group: 'g', retry })
      handle(@Payload('who', NotEmpty) who: string, @Ctx() context: PartitionContext): void {
        this.journal.lines.push(`${who} ${context.attempt}`);
        if (who === 'sorry') throw new Forgivable('once');
      }
    }
    const app = await apps.context(redis, {
      imports: [RedisStreamsModule.registerStream({ name: 'orders', partitions: 1 })], controllers: [Orders], providers: [Journal],
    });
    const service = app.get(PartitionService);
    const sent = await service.sendMany('orders', ['ann', 'nobody', '', 'sorry'].map((who) => ({ key: who, data: { who } })));
    await committed(app, 'orders');
    const dead = await service.deadLetters({ stream: 'orders', group: 'g' });
    expect(dead.map(({ key, reason, error, attempts }) => [key, reason, error, attempts]).toSorted()).toEqual([
      ['', 'max-attempts', 'empty', 2], ['nobody', 'max-attempts', 'Forbidden resource', 2],
    ]);
    expect(app.get(Journal).lines).toEqual(['ann 1', `after ${sent[0]?.id}`, 'sorry 1', 'forgiven once']);
  });

  it('request-scoped classes get an instance for every message', async () => {
    const made: unknown[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Tenant {
      constructor(@Inject(REQUEST) readonly request: HandlerRequest<{ n: number }, PartitionContext>) {}
    }
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      constructor(private readonly tenant: Tenant) {}
      @PartitionHandler({ stream: 'scoped', group: 'g' })
      handle({ n }: { n: number }, context: PartitionContext): void {
        made.push([n, this.tenant.request.data.n, this.tenant.request.context === context, this.tenant.request.pattern]);
      }
    }
    const app = await apps.context(redis, { imports: [RedisStreamsModule.registerStream({ name: 'scoped', partitions: 2 })], providers: [Scoped, Tenant] });
    await app.get(PartitionService).sendMany('scoped', [1, 2, 3].map((n) => ({ key: 'k', data: { n } })));
    await committed(app, 'scoped');
    expect(made).toEqual([1, 2, 3].map((n) => [n, n, true, 'scoped']));
  });

  it('batches: whole arrays with their context; after a failure each message alone', async () => {
    const calls: Array<{ data: number[]; messages: number; partition: number }> = [];
    let failures = 0;
    @Injectable()
    class Batches {
      @PartitionHandler({ stream: 'batches', group: 'g', batch: 20, retry })
      handle(data: number[], { messages, partition }: PartitionBatchContext<number>): void {
        calls.push({ data, messages: messages.length, partition });
        if (data.includes(13) && (failures += 1) < 2) throw new Error('13');
      }
    }
    const app = await apps.context(redis, { imports: [RedisStreamsModule.registerStream({ name: 'batches', partitions: 1 })], providers: [Batches] });
    await app.get(PartitionService).sendMany('batches', Array.from({ length: 50 }, (_, n) => ({ key: `k${n}`, data: n })));
    await committed(app, 'batches');
    expect(calls.every(({ data, messages }) => data.length === messages && messages <= 20)).toBe(true);
    expect(Math.max(...calls.map(({ messages }) => messages))).toBeGreaterThan(1);
    expect(calls.filter(({ data }) => data.includes(13)).at(-1)?.data).toEqual([13]);
    expect(new Set(calls.flatMap(({ data }) => data)).size).toBe(50);
    expect(await app.get(PartitionService).deadLetters({ stream: 'batches', group: 'g' })).toEqual([]);
  });

  it('manual acknowledgement: the key waits for it, the return does not count', async () => {
    const ran: string[] = [];
    const held: PartitionContext[] = [];
    @Injectable()
    class Manual {
      @PartitionHandler({ stream: 'manual', group: 'g', ack: 'manual' })
      handle(@Payload() data: string, @Ctx() context: PartitionContext): void {
        ran.push(data);
        held.push(context);
      }
    }
    const app = await apps.context(redis, { imports: [RedisStreamsModule.registerStream({ name: 'manual', partitions: 1 })], providers: [Manual] });
    const service = app.get(PartitionService);
    await service.sendMany('manual', [{ key: 'k', data: 'a' }, { key: 'k', data: 'b' }]);
    await waitUntil(() => ran.length === 1, { what: 'the first has run' });
    await held[0]?.ack();
    expect((await service.lag({ stream: 'manual', group: 'g' }))[0]).toMatchObject({ lag: 1, position: held[0]?.id });
    await waitUntil(() => ran.length === 2, { what: 'the second runs after the acknowledgement' });
    await held[1]?.ack();
    await committed(app, 'manual');
    expect(ran).toEqual(['a', 'b']);
  });
});

describe('hooks', () => {
  it('tell of partitions that come and go, before and after their messages, and of those that are lost', async () => {
    const group = { stream: 'hooked', group: 'g' };
    const make = (journal: string[]): new () => object => {
      @Injectable()
      class Hooked {
        @PartitionHandler(group)
        handle(_data: unknown, { partition }: PartitionContext): void {
          journal.push(`message ${partition}`);
        }
        @OnPartitionsAssigned(group)
        async assigned({ partitions }: PartitionsEvent): Promise<void> {
          await new Promise((resolve) => setTimeout(resolve, 20));
          for (const { partition, fencingToken } of partitions) journal.push(`assigned ${partition} ${fencingToken > 0}`);
        }
        @OnPartitionsRevoked(group)
        async revoked({ partitions, reason }: PartitionsRevoked): Promise<void> {
          for (const { partition } of partitions) journal.push(`revoked ${partition} ${reason}`);
        }
        @OnPartitionsLost(group)
        lost({ partitions }: PartitionsEvent): void {
          for (const { partition } of partitions) journal.push(`lost ${partition}`);
        }
      }
      return Hooked;
    };
    const imports = [RedisStreamsModule.registerStream({ name: 'hooked', partitions: 2 })];
    const [one, two]: [string[], string[]] = [[], []];
    const a = await apps.context(redis, { imports, providers: [make(one)] }, { consumerName: 'a' });
    const service = a.get(PartitionService);
    await service.sendMany('hooked', [0, 1].map((partition) => ({ partition, data: 1 })));
    await committed(a, 'hooked');
    for (const partition of [0, 1]) {
      expect(one.filter((line) => line.includes(` ${partition}`))).toEqual([`assigned ${partition} true`, `message ${partition}`]);
    }
    const b = await apps.context(redis, { imports, providers: [make(two)] }, { consumerName: 'b' });
    await waitUntil(async () => (await service.assignment(group)).settled && two.length === 1, { what: 'one partition has moved' });
    const moved = two[0]?.split(' ')[1];
    expect(one.at(-1)).toBe(`revoked ${moved} rebalance`);
    // Its position is moved under it: what it held is lost, and taken again.
    await service.seek(group, 'latest', [Number(moved)]);
    await waitUntil(() => two.includes(`lost ${moved}`) && two.filter((line) => line.startsWith('assigned')).length === 2, { what: 'lost and assigned again' });
    await b.close();
    expect(two.at(-1)).toBe(`revoked ${moved} shutdown`);
    await waitUntil(() => one.filter((line) => line === `assigned ${moved} true`).length === 2, { what: 'it is back' });
  });
});

describe('PartitionService', () => {
  it('looks at a group and steers it', async () => {
    const ran: number[] = [];
    @Injectable()
    class Handlers {
      @PartitionHandler({ stream: 'steered', group: 'g' })
      handle(data: number): void {
        ran.push(data);
      }
    }
    const app = await apps.context(redis, { providers: [Handlers], imports: [RedisStreamsModule.registerStream({ name: 'steered', partitions: 3, retention: { keepMs: 60_000 } })] }, { consumerName: 'op' });
    const service = app.get(PartitionService);
    const group = { stream: 'steered', group: 'g' };
    await waitUntil(async () => {
      const { settled, members } = await service.assignment(group); // without members it has, too
      return settled && members.length === 1;
    }, { what: 'the group has settled' });
    expect(await service.members(group)).toEqual([expect.objectContaining({ name: 'op', target: [0, 1, 2], owned: [0, 1, 2] })]);
    // Granted, says the server; taken up a moment later.
    await waitUntil(() => service.consumer(group)?.owned().length === 3, { what: 'they are taken up' });
    expect(service.consumer(group)?.owned().map(({ partition }) => partition).toSorted()).toEqual([0, 1, 2]);
    await service.producer('steered').send({ partition: 0, data: 0 });
    await committed(app, 'steered');

    let isPaused = false;
    app.get(RedisStreamsEvents).on('partition.paused', ({ partitions }) => (isPaused ||= partitions === 'all'));
    await service.pause(group);
    await waitUntil(() => isPaused, { what: 'it has heard that it is paused' });
    expect((await service.assignment(group)).paused).toBe('all');
    await service.sendMany('steered', [1, 2, 3].map((data) => ({ partition: 1, data })));
    expect((await service.lag(group)).map(({ lag }) => lag)).toEqual([0, 3, 0]);
    expect(await service.sizes('steered')).toEqual([1, 3, 0]);
    await service.resume(group);
    await committed(app, 'steered');
    expect(ran).toEqual([0, 1, 2, 3]);

    await service.seek(group, 'earliest', [1]);
    await waitUntil(() => ran.length === 7, { what: 'they have run again' });
    expect(ran).toEqual([0, 1, 2, 3, 1, 2, 3]);

    await service.register({ name: 'at-run-time', partitions: 2 });
    expect(await service.sizes('at-run-time')).toEqual([0, 0]);
    await expect(service.register({ name: 'at-run-time', partitions: 3 })).rejects.toThrow();

    expect(await service.shutdown(group)).toBe(true);
    expect((await service.members(group))).toEqual([]);
    expect(await service.shutdown({ stream: 'steered', group: 'unknown' })).toBe(false);
  });
});
