import { Injectable } from '@nestjs/common';
import {
  OnRoomMessage, OnStreamAssigned, PartitionHandler, PartitionService, QueueHandler, QueueService, RedisStreamsHealth, RedisStreamsModule,
} from 'nestjs-redis-streams';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../support/redis-server.js';
import { startProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { waitUntil } from '../support/wait.js';
import { Apps } from './partition-module/support/apps.js';

let redis: RedisServer;
let proxy: TcpProxy;
beforeAll(async () => {
  redis = await startRedis();
  proxy = await startProxy(redis.port);
});
afterAll(async () => {
  await proxy.stop();
  await redis.stop();
});
const apps = new Apps();

it('is up again after an outage in which consumers were ended', async () => {
  @Injectable()
  class Handlers {
    @QueueHandler('jobs') job(): void {}
    @PartitionHandler({ stream: 'orders', group: 'mail' }) order(): void {}
    @OnRoomMessage('lobby') said(): void {}
    @OnStreamAssigned('files') file(): void {}
  }
  const imports = [RedisStreamsModule.registerQueue({ name: 'jobs', shards: 2 }), RedisStreamsModule.registerStream({ name: 'orders', partitions: 2 })];
  const app = await apps.context(proxy, { imports, providers: [Handlers] }, { session: { ttlMs: 1_000 } });
  const health = app.get(RedisStreamsHealth);
  const problems = (): string => health.check()['redisStreams']?.problems?.join('\n') ?? '';
  await waitUntil(() => problems() === '', { what: 'all is well' });

  proxy.blackhole(true);
  const scopes = ['jobs/0#default', 'jobs/1#default', 'orders#mail', 'fanout 0', 'files-input'];
  await waitUntil(() => scopes.every((scope) => problems().includes(`session of ${scope} lost`)), { what: 'every session is lost' });
  const ended = Promise.all([app.get(QueueService).shutdown('jobs'), app.get(PartitionService).shutdown({ stream: 'orders', group: 'mail' })]);
  expect(await ended).toEqual([true, true]);
  expect(problems()).not.toMatch(/jobs|orders/);
  expect(problems()).toMatch(/fanout 0[^]*files-input|files-input[^]*fanout 0/);

  proxy.blackhole(false);
  await waitUntil(() => health.check()['redisStreams']?.status === 'up', { what: 'it is up, without those that have ended' });
});
