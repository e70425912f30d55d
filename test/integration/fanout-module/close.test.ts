import { Injectable, type INestApplicationContext, Module, type OnModuleDestroy } from '@nestjs/common';
import { FanoutService, OnRoomMessage, type RedisStreamsModuleOptions, type RoomContext } from 'nestjs-redis-streams';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Apps, clients } from '../partition-module/support/apps.js';

let redis: RedisServer;
beforeEach(async () => {
  redis = await startRedis();
});
afterEach(() => redis.stop());
const apps = new Apps();

class Database implements OnModuleDestroy {
  isOpen = true;
  onModuleDestroy(): void {
    this.isOpen = false;
  }
}

type Work = (data: number, context: RoomContext, database: Database) => unknown;

/** An application whose handler uses a provider of another module that shuts down in onModuleDestroy. */
function start(room: string, work: Work, options: RedisStreamsModuleOptions = {}): Promise<INestApplicationContext> {
  @Injectable()
  class Handlers {
    constructor(private readonly database: Database) {}
    @OnRoomMessage(room)
    handle(data: number, context: RoomContext): unknown {
      return work(data, context, this.database);
    }
  }
  @Module({ providers: [Database], exports: [Database] })
  class DatabaseModule {}
  return apps.context(redis, { imports: [DatabaseModule], providers: [Handlers] }, options);
}

describe('app.close()', () => {
  it('waits for what runs, whose providers live until then, acknowledges it, and leaves nothing behind', async () => {
    const open: boolean[] = [];
    let finish = (): void => undefined;
    const ran: number[] = [];
    const work: Work = async (data, { signal }, database) => {
      ran.push(data);
      await new Promise<void>((resolve) => (finish = resolve));
      open.push(database.isOpen && !signal.aborted);
    };
    const app = await start('drained', work);
    const other = await apps.context(redis, {});
    const service = other.get(FanoutService);
    const first = service.send('drained', 1, { await: 'acked' });
    await waitUntil(() => ran.length === 1, { what: 'the first runs' });
    await service.send('drained', 2);
    const closing = Promise.all([app.close(), app.close()]);
    await waitUntil(async () => (await service.state('drained')).members.length === 1, { what: 'it is still in the room' });
    finish();
    expect(await first).toMatchObject({ acknowledged: 1, ejected: [] });
    await closing;
    expect([ran, open]).toEqual([[1], [true]]);
    // The second waits for the next subscriber, which is here or elsewhere.
    expect(await service.state('drained')).toMatchObject({ backlog: 1, members: [] });
    await start('drained', (data) => void ran.push(data));
    await waitUntil(() => ran.length === 2, { what: 'the second has run' });
    expect(ran).toEqual([1, 2]);
    await apps.close();
    // The registration, and what expires by itself.
    const left = (await redis.cli('KEYS', '*')) as string[];
    const kept = await Promise.all(left.map(async (key) => (await redis.cli('PTTL', key)) === -1));
    expect(left.filter((_, i) => kept[i])).toEqual(['{fanout:0}:fanout']);
    expect(left.filter((key) => !key.endsWith(':fanout')).map((key) => key.replace(/[^:]+$/, ''))).toEqual(['{fanout:0}:sender:']);
    await waitUntil(async () => (await clients(redis)) === 0, { what: 'no connection is left' });
  });

  it('does not wait longer than drainMs for one that never ends; the room goes on without it', async () => {
    let signal: AbortSignal | undefined;
    const app = await start('stuck', (_data, context) => ((signal = context.signal), new Promise(() => undefined)), { shutdown: { drainMs: 100 } });
    const ran: number[] = [];
    const next = await start('stuck', (data) => void ran.push(data));
    const sent = next.get(FanoutService).send('stuck', 1, { await: 'acked' });
    await waitUntil(() => signal, { what: 'the handler runs' });
    const before = performance.now();
    await apps.close(app);
    expect(performance.now() - before).toBeLessThan(2_000);
    expect(signal?.reason).toMatchObject({ name: 'RoomEjectedError', reason: 'left' });
    expect(await sent).toMatchObject({ acknowledged: 1, ejected: [expect.any(String)] });
    expect(await next.get(FanoutService).send('stuck', 2, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
    expect(ran).toEqual([1, 2]);
  });

  it('leaves rooms that were joined at run time as well, and refuses new joins', async () => {
    const app = await apps.context(redis, {});
    const other = await apps.context(redis, {});
    const service = app.get(FanoutService);
    const subscription = await service.join('dynamic', () => undefined);
    await apps.close(app);
    expect(subscription.active).toBe(false);
    await expect(service.join('dynamic', () => undefined)).rejects.toMatchObject({ name: 'ClosedError' });
    expect((await other.get(FanoutService).state('dynamic')).members).toEqual([]);
  });

  it('still sends while the application closes: what a drain or a destroy hook sends is stored', async () => {
    @Injectable()
    class Farewell implements OnModuleDestroy {
      constructor(private readonly fanout: FanoutService) {}
      async onModuleDestroy(): Promise<void> {
        await this.fanout.send('farewell', 'bye');
      }
    }
    const app = await apps.context(redis, { providers: [Farewell] });
    await apps.close(app);
    const next = await apps.context(redis, {});
    expect((await next.get(FanoutService).peek('farewell')).map(({ data }) => data)).toEqual(['bye']);
  });
});
