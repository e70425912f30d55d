import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor, UseInterceptors } from '@nestjs/common';
import {
  FanoutService, LeaseService, OnRoomMessage, OnStreamAssigned, PartitionHandler, PartitionService, QueueHandler, QueueService, RedisStreamsModule,
} from 'nestjs-redis-streams';
import { map, Observable } from 'rxjs';
import { afterAll, beforeAll, expect, it } from 'vitest';
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
class Passing implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((value) => value as unknown));
  }
}

it('endless Observables are unsubscribed when their time is over, and when the application ends', async () => {
  const open = new Map<string, number>();
  const began = new Map<string, number>();
  const count = (counts: Map<string, number>, name: string, by: number): unknown => counts.set(name, (counts.get(name) ?? 0) + by);
  const endless = (name: string): Observable<number> => new Observable((subscriber) => {
    count(open, name, 1);
    count(began, name, 1);
    const timer = setInterval(() => subscriber.next(1), 10);
    return () => {
      clearInterval(timer);
      count(open, name, -1);
    };
  });
  const late = { maxProcessingMs: 200, retry: { maxAttempts: 3, initialMs: 20 } };
  @Injectable()
  class Handlers {
    @QueueHandler({ queue: 'late', ...late }) lateJob(): unknown { return endless('late job'); }
    @UseInterceptors(Passing) @QueueHandler({ queue: 'later', ...late }) laterJob(): unknown { return endless('later job'); }
    @PartitionHandler({ stream: 'late', group: 'g', ...late }) lateOrder(): unknown { return endless('late order'); }
    @OnRoomMessage('late', { ackTimeoutMs: 300 }) lateSaid(): unknown { return endless('late room'); }
    @QueueHandler('jobs') job(): unknown { return endless('job'); }
    @UseInterceptors(Passing) @QueueHandler('more') more(): unknown { return endless('more'); }
    @PartitionHandler({ stream: 'orders', group: 'g' }) order(): unknown { return endless('order'); }
    @OnRoomMessage('lobby') said(): unknown { return endless('room'); }
    @OnStreamAssigned('files') file(): unknown { return endless('lease'); }
  }
  const imports = [
    RedisStreamsModule.registerQueue(['late', 'later', 'jobs', 'more'].map((name) => ({ name }))),
    RedisStreamsModule.registerStream(['late', 'orders'].map((name) => ({ name, partitions: 2 }))),
  ];
  const app = await apps.context(redis, { imports, providers: [Handlers] }, { shutdown: { drainMs: 300 } });
  const [queues, streams, rooms] = [app.get(QueueService), app.get(PartitionService), app.get(FanoutService)];
  await Promise.all([
    ...['late', 'later', 'jobs', 'more'].map((queue) => queues.send(queue, 1)),
    ...['late', 'orders'].map((stream) => streams.send(stream, { key: 'k', data: 1 })),
    ...['late', 'lobby'].map((room) => rooms.send(room, 1)),
    app.get(LeaseService).announce('files', 'file-1'),
  ]);
  // Each attempt has ended the one before; a subscriber that was ejected is back for the message's next showing.
  await waitUntil(() => ['late job', 'later job', 'late order'].every((name) => began.get(name) === 3 && open.get(name) === 0), { what: 'all attempts are over' });
  await waitUntil(() => (began.get('late room') ?? 0) > 1, { what: 'it is shown again' });
  const lasting = ['job', 'more', 'order', 'room', 'lease'];
  await waitUntil(() => lasting.every((name) => open.get(name) === 1), { what: 'the others are subscribed' });

  await apps.close(app);
  expect([...open].filter(([, still]) => still !== 0)).toEqual([]);
  expect(lasting.map((name) => began.get(name))).toEqual([1, 1, 1, 1, 1]);
});
