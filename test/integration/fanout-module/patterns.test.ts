import { Injectable } from '@nestjs/common';
import { type EjectedSubscriber, FanoutService, type JoinedRoom, OnRoomEjected, OnRoomJoined, OnRoomMessage, type RoomContext } from 'nestjs-redis-streams';
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

describe('rooms of a pattern', () => {
  it('those that exist and each that appears later: told of when joined, and no message of theirs is missed', async () => {
    const journal: string[] = [];
    @Injectable()
    class Games {
      @OnRoomMessage('game.*')
      message(data: unknown, { room }: RoomContext): void {
        journal.push(`${room} ${String(data)}`);
      }
      @OnRoomJoined('game.*')
      joined({ room }: JoinedRoom): void {
        journal.push(`${room} joined`);
      }
      @OnRoomMessage(/^(game|chat)\.\d$/)
      expression(data: unknown, { room }: RoomContext): void {
        journal.push(`/${room} ${String(data)}`);
      }
      @OnRoomJoined(/^(game|chat)\.\d$/)
      joinedToo({ room }: JoinedRoom): void {
        journal.push(`/${room} joined`);
      }
    }
    const sender = (await apps.context(redis, {})).get(FanoutService);
    // Held: nobody is there yet.
    await sender.send('game.1', 'early');
    const app = await apps.context(redis, { providers: [Games] });
    await waitUntil(() => journal.length === 4, { what: 'the room that was there is joined' });
    for (const room of ['game.2', 'game.final', 'chat.1', 'elsewhere']) for (const data of ['a', 'b']) await sender.send(room, data);
    await waitUntil(() => journal.length === 4 + 6 + 3 + 3, { what: 'the new ones are joined' });
    const of = (place: string): string[] => journal.filter((line) => line.startsWith(`${place} `));
    expect([of('game.1'), of('/game.1')]).toEqual([['game.1 joined', 'game.1 early'], ['/game.1 joined', '/game.1 early']]);
    for (const place of ['game.2', '/game.2', 'game.final', '/chat.1']) expect(of(place)).toEqual([`${place} joined`, `${place} a`, `${place} b`]);
    expect((await sender.state('elsewhere')).backlog).toBe(2);
    expect(await app.get(FanoutService).metrics()).toMatchObject({ subscribedRooms: 4, subscribers: 6 });
  });

  it('a room that was removed and is born again is joined again', async () => {
    const journal: unknown[] = [];
    @Injectable()
    class Handlers {
      @OnRoomMessage('born.*')
      message(data: unknown): void {
        journal.push(data);
      }
      @OnRoomJoined('born.*')
      joined(): void {
        journal.push('joined');
      }
      @OnRoomEjected('born.*')
      ejected({ reason, rejoins }: EjectedSubscriber): void {
        journal.push([reason, rejoins]);
      }
    }
    const service = (await apps.context(redis, { providers: [Handlers] })).get(FanoutService);
    await service.send('born.1', 1);
    await waitUntil(() => journal.length === 2, { what: 'it is shown' });
    await service.remove('born.1');
    await waitUntil(() => journal.length === 3, { what: 'the end is told' });
    await service.send('born.1', 2);
    await waitUntil(() => journal.length === 5, { what: 'it is shown again' });
    expect(journal).toEqual(['joined', 1, ['removed', false], 'joined', 2]);
  });
});
