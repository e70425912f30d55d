import type { AddressInfo } from 'node:net';
import { Body, Controller, Injectable, Module, Param, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload, Transport } from '@nestjs/microservices';
import { FanoutService, InjectFanout, OnRoomMessage, type RoomContext } from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Apps, clients, moduleOf, QUIET } from '../partition-module/support/apps.js';

let redis: RedisServer;
let other: RedisServer;
beforeAll(async () => {
  [redis, other] = await Promise.all([startRedis(), startRedis()]);
});
afterAll(() => Promise.all([redis.stop(), other.stop()]));
const apps = new Apps();

/** Two applications' handlers of one room: each sees a message at its own pace. */
function subscriber(room: string, who: string, journal: string[], workMs: (n: number) => number): new () => object {
  @Injectable()
  class Subscriber {
    @OnRoomMessage(room)
    async tick(n: number): Promise<void> {
      journal.push(`${n} begins`);
      await new Promise((resolve) => setTimeout(resolve, workMs(n)));
      journal.push(`${n} ends ${who}`);
    }
  }
  return Subscriber;
}

describe('importing the module is enough', () => {
  it('in lock-step over two applications: nobody sees a message before all have finished the one before it', async () => {
    const journal: string[] = [];
    const [a, b] = await Promise.all([
      apps.context(redis, { providers: [subscriber('ticks', 'a', journal, (n) => n % 4)] }, { consumerName: 'a' }),
      apps.context(redis, { providers: [subscriber('ticks', 'b', journal, (n) => (n + 2) % 4)] }, { consumerName: 'b' }),
    ]);
    const ticks = Array.from({ length: 60 }, (_, n) => n);
    const senders = [a, b].map((app) => app.get(FanoutService));
    for (const n of ticks) await senders[n % 2]?.send('ticks', n);
    await waitUntil(() => journal.length === 4 * ticks.length, { what: 'both have seen all' });
    for (const n of ticks) {
      const step = journal.slice(4 * n, 4 * n + 4);
      expect(step.filter((line) => line === `${n} begins`)).toHaveLength(2);
      expect(step.filter((line) => line.startsWith(`${n} ends`)).toSorted()).toEqual([`${n} ends a`, `${n} ends b`]);
    }
    expect(await a.get(FanoutService).send('ticks', -1, { await: 'acked' })).toMatchObject({ room: 'ticks', acknowledged: 2, ejected: [] });
  });

  it('several methods of one room each get every message; the process acknowledges when its sync ones have', async () => {
    const journal: string[] = [];
    const doors: Array<() => void> = [];
    @Injectable()
    class Handlers {
      @OnRoomMessage('shared')
      quick(n: number, { subscriber: who }: RoomContext): void {
        journal.push(`quick ${n} ${who}`);
      }
      @OnRoomMessage('shared')
      async slow(@Payload() n: number, @Ctx() { subscriber: who }: RoomContext): Promise<void> {
        await new Promise<void>((resolve) => doors.push(resolve));
        journal.push(`slow ${n} ${who}`);
      }
      @OnRoomMessage('shared', { sync: false })
      listening(n: number): Promise<void> {
        journal.push(`listening ${n}`);
        return new Promise(() => undefined);
      }
    }
    const app = await apps.context(redis, { providers: [Handlers] }, { shutdown: { drainMs: 50 } });
    const service = app.get(FanoutService);
    const first = await service.send('shared', 1);
    const second = service.send('shared', 2, { await: 'acked' });
    await waitUntil(() => doors.length === 1, { what: 'the slow one runs' });
    await waitUntil(async () => (await service.state('shared')).backlog === 1, { what: 'the second waits' });
    expect((await service.state('shared')).current?.id).toBe(first.id);
    expect(journal).toHaveLength(2);
    doors[0]?.();
    await waitUntil(() => doors.length === 2, { what: 'the second message is shown' });
    doors[1]?.();
    expect(await second).toMatchObject({ acknowledged: 1, ejected: [] });
    const [quick, slow] = ['quick', 'slow'].map((what) => journal.filter((line) => line.startsWith(what)).map((line) => line.split(' ')));
    expect([quick, slow].map((lines) => lines?.map(([, n]) => n))).toEqual([['1', '2'], ['1', '2']]);
    // Two subscribers, each the same all along.
    expect(new Set([...quick ?? [], ...slow ?? []].map(([, , who]) => who)).size).toBe(2);
    // A listener is not waited for, and gets one message after the other.
    expect(journal.filter((line) => line.startsWith('listening'))).toEqual(['listening 1']);
  });

  it('in an HTTP application, whose close ends cleanly; in a microservice of another transport, on a controller', async () => {
    const ran: unknown[] = [];
    @Controller('rooms')
    class Rooms {
      constructor(private readonly fanout: FanoutService) {}
      @Post(':room')
      send(@Param('room') room: string, @Body() data: object): Promise<object> {
        return this.fanout.send(room, data, { await: 'acked', timeoutMs: 5_000 });
      }
      @OnRoomMessage('lobby')
      message(data: object, { room, headers }: RoomContext): void {
        ran.push([room, data, headers]);
      }
    }
    @Module({ controllers: [Rooms] })
    class RoomsModule {}
    const before = await clients(redis);
    const http = apps.keep(await NestFactory.create(moduleOf(redis, { imports: [RoomsModule] }), QUIET));
    await http.listen(0, '127.0.0.1');
    const base = `http://127.0.0.1:${(http.getHttpServer().address() as AddressInfo).port}/rooms`;
    const post = (body: object): Promise<Response> => fetch(`${base}/lobby`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    expect(await (await post({ n: 1 })).json()).toMatchObject({ room: 'lobby', id: expect.any(String), acknowledged: 1 });
    expect(ran).toEqual([['lobby', { n: 1 }, {}]]);

    const micro = apps.keep(await NestFactory.createMicroservice(moduleOf(redis, { imports: [RoomsModule] }), { ...QUIET, transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } }));
    await micro.listen();
    expect(await (await post({ n: 2 })).json()).toMatchObject({ acknowledged: 2 });
    expect(ran).toHaveLength(3);
    await apps.close(http);
    await apps.close(micro);
    await waitUntil(async () => (await clients(redis)) === before, { what: 'no connection is left' });
  });

  it('with a second connection: a room of the same name on each server is another', async () => {
    const ran: string[] = [];
    @Injectable()
    class Handlers {
      constructor(readonly here: FanoutService, @InjectFanout('there') readonly there: FanoutService) {}
      @OnRoomMessage('same')
      first(data: string): void {
        ran.push(`here ${data}`);
      }
      @OnRoomMessage('same', { connection: 'there' })
      second(data: string): void {
        ran.push(`there ${data}`);
      }
    }
    const app = await apps.context(redis, { providers: [Handlers] }, { connections: { there: { url: other.url } }, fanout: { namespace: 'shop' } });
    const { here, there } = app.get(Handlers);
    await Promise.all([here.send('same', 'x', { await: 'acked' }), there.send('same', 'y', { await: 'acked' })]);
    expect(ran.toSorted()).toEqual(['here x', 'there y']);
    for (const server of [redis, other]) expect(await server.cli('KEYS', '{fanout:shop:0}:room:*')).toEqual(['{fanout:shop:0}:room:same']);
  });
});
