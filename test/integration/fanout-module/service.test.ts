import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable } from '@nestjs/common';
import { FanoutService, OnRoomMessage, type RoomContext } from 'nestjs-redis-streams';
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

describe('FanoutService', () => {
  it('sends in an application without handlers: what waits can be looked at, and the room removed', async () => {
    const service = (await apps.context(redis, {}, { fanout: { maxBacklog: 4 } })).get(FanoutService);
    await service.send('held', 'b', { headers: { h: '1' } });
    await service.send('held', 'c');
    const { id } = await service.send('held', 'a', { priority: -1 });
    await service.send('held', 'd', { await: 'queued' });
    expect((await service.peek('held')).map(({ data }) => data)).toEqual(['a', 'b', 'c', 'd']);
    expect(await service.peek('held', 0, 2)).toEqual([
      expect.objectContaining({ id, priority: -1, headers: {}, redelivery: 0 }), expect.objectContaining({ data: 'b', headers: { h: '1' } }),
    ]);
    await expect(service.send('held', 'e')).rejects.toMatchObject({ name: 'BackpressureError' });
    expect(await service.state('held')).toEqual({ room: 'held', backlog: 4, current: undefined, members: [], owing: [] });
    expect(await service.metrics({ topRooms: 1 })).toMatchObject({ topRooms: [{ room: 'held', backlog: 4 }], received: 0, subscribedRooms: 0, latencyMs: undefined });
    expect(await service.remove('held')).toBe(4);
    expect((await service.state('held')).backlog).toBe(0);
    await expect(service.send('held', 'x', { await: 'acked', timeoutMs: 30 })).rejects.toMatchObject({ name: 'AckTimeoutError', room: 'held' });
  });

  it('joins and leaves at run time; leave(room) ends all that join has made there, and no decorated handler', async () => {
    const ran: string[] = [];
    @Injectable()
    class Handlers {
      @OnRoomMessage('sockets')
      handle(data: string): void {
        ran.push(`method ${data}`);
      }
    }
    const app = await apps.context(redis, { providers: [Handlers] });
    const service = app.get(FanoutService);
    const elsewhere = (await apps.context(redis, {})).get(FanoutService);
    const one = await service.join('sockets', (data) => void ran.push(`one ${String(data)}`));
    const two = await service.join('sockets', (data) => void ran.push(`two ${String(data)}`), { sync: false });
    const other = await service.join('another', () => undefined);
    const far = await elsewhere.join('sockets', (data) => void ran.push(`far ${String(data)}`));
    expect(await service.send('sockets', 'a', { await: 'acked' })).toMatchObject({ acknowledged: 2 });
    await waitUntil(() => ran.length === 4, { what: 'all have it' });
    await one.leave();
    expect([one.active, two.active]).toEqual([false, true]);
    const three = await service.join('sockets', () => undefined);
    expect(await service.leave('sockets')).toBe(2);
    expect([two.active, three.active, other.active, far.active]).toEqual([false, false, true, true]);
    expect(await service.leave('sockets')).toBe(0);
    expect(await service.leave('unheard-of')).toBe(0);
    ran.length = 0;
    expect(await service.send('sockets', 'b', { await: 'acked' })).toMatchObject({ acknowledged: 2 });
    expect(ran.toSorted()).toEqual(['far b', 'method b']);
    expect(await elsewhere.leave('sockets')).toBe(1);
    expect(await service.send('sockets', 'c', { await: 'acked' })).toMatchObject({ acknowledged: 1 });
  });

  it('handlers and hooks run in no context of whoever joined, or was the first to', async () => {
    const request = new AsyncLocalStorage<string>();
    const service = (await apps.context(redis, {})).get(FanoutService);
    const seen: unknown[] = [];
    const note = (what: string): void => void seen.push([what, request.getStore()]);
    for (const name of ['a', 'b']) {
      await request.run(`request ${name}`, async () => {
        await service.join(`of ${name}`, async (data) => {
          note(String(data));
          await Promise.resolve();
          note(`${String(data)}, later`);
        }, { joined: () => note(`joined ${name}`), ejected: () => note(`out of ${name}`) });
        expect(request.getStore()).toBe(`request ${name}`);
      });
    }
    await request.run('sender', () => service.send('of a', 'to a', { await: 'acked' }));
    await service.sendOutOfBand('of b', 'to b');
    await waitUntil(() => seen.length === 6, { what: 'all is handled' });
    await request.run('remover', () => service.remove('of b'));
    await waitUntil(() => seen.length === 7, { what: 'it is told that the room is gone' });
    const what = ['joined a', 'joined b', 'out of b', 'to a', 'to a, later', 'to b', 'to b, later'];
    expect(seen.toSorted()).toEqual(what.map((each) => [each, undefined]));

    // It may have one, if it says so.
    await request.run('mine', () => service.join('bound', AsyncLocalStorage.bind(() => note('bound'))));
    await service.send('bound', 1, { await: 'acked' });
    expect(seen.at(-1)).toEqual(['bound', 'mine']);
  });

  it('leave(room) while a handler runs: it is aborted, and nobody waits for it', async () => {
    let running: RoomContext | undefined;
    const service = (await apps.context(redis, {})).get(FanoutService);
    await service.join('left', (_data, context) => new Promise((resolve) => {
      running = context;
      context.signal.addEventListener('abort', resolve);
    }));
    await service.send('left', 1);
    await waitUntil(() => running, { what: 'it runs' });
    expect(await service.leave('left')).toBe(1);
    expect(running?.signal.reason).toMatchObject({ name: 'RoomEjectedError', reason: 'left' });
    expect((await service.state('left')).members).toEqual([]);
  });

  it('out of band: at once, while the room is blocked, to decorated methods too', async () => {
    const ran: unknown[] = [];
    let release = (): void => undefined;
    @Injectable()
    class Blocked {
      @OnRoomMessage('blocked')
      async handle(data: string, { outOfBand, priority }: RoomContext): Promise<void> {
        ran.push([data, outOfBand, priority]);
        if (!outOfBand) await new Promise<void>((resolve) => (release = resolve));
      }
    }
    const service = (await apps.context(redis, { providers: [Blocked] })).get(FanoutService);
    const blocked = service.send('blocked', 'block', { priority: 3, await: 'acked' });
    await waitUntil(() => ran.length === 1, { what: 'the room is blocked' });
    await service.sendOutOfBand('blocked', 'now', { headers: { a: 'b' } });
    await waitUntil(() => ran.length === 2, { what: 'it is shown' });
    expect(ran).toEqual([['block', false, 3], ['now', true, 0]]);
    release();
    expect(await blocked).toMatchObject({ acknowledged: 1 });
  });
});
