import {
  type CallHandler, type CanActivate, Catch, Controller, type ExceptionFilter, type ExecutionContext, Inject, Injectable, type NestInterceptor,
  type PipeTransform, Scope, UseFilters, UseGuards, UseInterceptors,
} from '@nestjs/common';
import { APP_INTERCEPTOR, REQUEST } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { FanoutService, type HandlerRequest, OnRoomMessage, RedisStreamsEvents, type RoomContext } from 'nestjs-redis-streams';
import { type Observable, Subject, tap } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Apps } from '../partition-module/support/apps.js';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());
const apps = new Apps();

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
    const { room, id } = context.switchToRpc().getContext<RoomContext>();
    return next.handle().pipe(tap(() => this.journal.lines.push(`after ${room} ${id}`)));
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

describe('a room handler in the pipeline of Nest', () => {
  it('guard, pipe, interceptor and filter decide what is acknowledged, retried and ejected', async () => {
    @Controller()
    @UseFilters(Forgiving)
    class Guests {
      constructor(private readonly journal: Journal) {}
      @UseGuards(Known)
      @UseInterceptors(Noting)
      @OnRoomMessage('guests', { retry: { maxAttempts: 2, initialMs: 1 } })
      handle(@Payload('who', NotEmpty) who: string, @Ctx() context: RoomContext): void {
        this.journal.lines.push(`${who} ${context.attempt} ${context.headers['from']}`);
        if (who === 'sorry') throw new Forgivable('once');
      }
      // Stays in when the other is ejected, so that the room goes on.
      @OnRoomMessage('guests')
      witness(): void {}
    }
    const app = await apps.context(redis, { controllers: [Guests], providers: [Journal] });
    const service = app.get(FanoutService);
    const failures: string[] = [];
    app.get(RedisStreamsEvents).on('room.retried', ({ error, attempt }) => failures.push(`${attempt} ${error.message}`));
    const send = async (who: string): Promise<{ id: string; ejected: readonly string[] }> => {
      const sent = await service.send('guests', { who }, { await: 'acked', headers: { from: 'test' } });
      await waitUntil(async () => (await service.state('guests')).members.length === 1, { what: 'the ejected one is back' });
      return sent;
    };
    const ann = await send('ann');
    expect(ann.ejected).toEqual([]);
    expect((await send('nobody')).ejected).toHaveLength(1);
    expect((await send('')).ejected).toHaveLength(1);
    expect((await send('sorry')).ejected).toEqual([]);
    expect(failures).toEqual(['1 Forbidden resource', '1 empty']);
    expect(app.get(Journal).lines).toEqual(['ann 1 test', `after guests ${ann.id}`, 'sorry 1 test', 'forgiven once']);
  });

  it('global interceptors stand around it as well', async () => {
    @Injectable()
    class Plain {
      @OnRoomMessage('global')
      handle(): void {}
    }
    const app = await apps.context(redis, { providers: [Plain, Journal, { provide: APP_INTERCEPTOR, useClass: Noting }] });
    const { id } = await app.get(FanoutService).send('global', 1, { await: 'acked' });
    expect(app.get(Journal).lines).toEqual([`after global ${id}`]);
  });

  it('request-scoped classes get an instance for every message', async () => {
    const made: unknown[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Tenant {
      constructor(@Inject(REQUEST) readonly request: HandlerRequest<{ n: number }, RoomContext>) {}
    }
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      constructor(private readonly tenant: Tenant) {}
      @OnRoomMessage('scoped.*')
      handle({ n }: { n: number }, context: RoomContext): void {
        made.push([n, this.tenant.request.data.n, this.tenant.request.context === context, this.tenant.request.pattern, context.room]);
      }
    }
    const app = await apps.context(redis, { providers: [Scoped, Tenant] });
    for (const n of [1, 2, 3]) await app.get(FanoutService).send('scoped.1', { n }, { await: 'acked' });
    expect(made).toEqual([1, 2, 3].map((n) => [n, n, true, 'scoped.*', 'scoped.1']));
  });

  it('manual acknowledgement: the room waits for it, the return does not count, a second one does nothing', async () => {
    const held: RoomContext[] = [];
    @Injectable()
    class Manual {
      @OnRoomMessage('manual', { ack: 'manual' })
      handle(@Ctx() context: RoomContext): void {
        held.push(context);
      }
    }
    const service = (await apps.context(redis, { providers: [Manual] })).get(FanoutService);
    await service.send('manual', 'a');
    const last = service.send('manual', 'b', { await: 'acked' });
    await waitUntil(() => held.length === 1, { what: 'the first is shown' });
    await waitUntil(async () => (await service.state('manual')).backlog === 1, { what: 'the second waits' });
    expect((await service.state('manual')).owing).toHaveLength(1);
    held[0]?.ack();
    await waitUntil(() => held.length === 2, { what: 'the second is shown' });
    held[0]?.ack();
    expect(await service.state('manual')).toMatchObject({ current: { data: 'b' }, owing: [expect.any(String)] });
    held[1]?.ack();
    expect(await last).toMatchObject({ acknowledged: 1, ejected: [] });
  });

  it('an Observable acknowledges when it completes, not before', async () => {
    const streams: Array<Subject<number>> = [];
    @Injectable()
    class Streams {
      @OnRoomMessage('observable')
      handle(): Observable<number> {
        const stream = new Subject<number>();
        streams.push(stream);
        return stream;
      }
    }
    const service = (await apps.context(redis, { providers: [Streams] })).get(FanoutService);
    let isAcked = false;
    const sent = service.send('observable', 1, { await: 'acked' }).then((acked) => {
      isAcked = true;
      return acked;
    });
    await waitUntil(() => streams.length === 1, { what: 'it is shown' });
    streams[0]?.next(1);
    expect((await service.state('observable')).owing).toHaveLength(1);
    expect(isAcked).toBe(false);
    streams[0]?.complete();
    expect(await sent).toMatchObject({ acknowledged: 1 });
  });
});
