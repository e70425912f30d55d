import { Injectable, type INestApplicationContext, Module, type OnModuleDestroy } from '@nestjs/common';
import { type QueueContext, QueueHandler, QueueService, RedisStreamsModule } from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Apps, clients } from '../partition-module/support/apps.js';
import { settled } from './support/settled.js';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());
const apps = new Apps();

class Database implements OnModuleDestroy {
  isOpen = true;
  onModuleDestroy(): void {
    this.isOpen = false;
  }
}

type Work = (data: number, context: QueueContext, database: Database) => unknown;

/** An application whose handler uses a provider of another module that shuts down in onModuleDestroy. */
function start(queue: string, work: Work, drainMs = 3_000): Promise<INestApplicationContext> {
  @Injectable()
  class Handlers {
    constructor(private readonly database: Database) {}
    @QueueHandler({ queue, concurrency: 8, prefetch: 64 })
    handle(data: number, context: QueueContext): unknown {
      return work(data, context, this.database);
    }
  }
  @Module({ providers: [Database], exports: [Database] })
  class DatabaseModule {}
  const imports = [DatabaseModule, RedisStreamsModule.registerQueue({ name: queue, shards: 4 })];
  return apps.context(redis, { imports, providers: [Handlers] }, { shutdown: { drainMs } });
}

describe('app.close()', () => {
  it('waits for what runs, whose providers live until then, and settles it: nothing runs again, nothing is left out', async () => {
    const ran = new Map<number, number>();
    const open: boolean[] = [];
    const work: Work = async (data, _context, database) => {
      ran.set(data, (ran.get(data) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      open.push(database.isOpen);
    };
    const app = await start('drained', work);
    await app.get(QueueService).sendMany('drained', Array.from({ length: 2_000 }, (_, data) => ({ data })));
    await waitUntil(() => ran.size > 200, { what: 'some have run' });
    await Promise.all([app.close(), app.close()]);
    expect(ran.size).toBeLessThan(2_000);
    expect(open).toHaveLength(ran.size);
    expect(new Set(open)).toEqual(new Set([true]));
    await waitUntil(async () => (await clients(redis)) === 0, { what: 'no connection is left' });

    // What it had read ahead was given back: nobody waits for a session to expire.
    const before = performance.now();
    const next = await start('drained', work);
    await settled(next, 'drained');
    expect(performance.now() - before).toBeLessThan(6_000); // and not what is left of the default ttl, 10,000
    expect(ran.size).toBe(2_000);
    expect([...ran.values()].filter((runs) => runs !== 1)).toEqual([]);
  });

  it('does not wait longer than drainMs for one that never ends; it runs again elsewhere', async () => {
    let signal: AbortSignal | undefined;
    const app = await start('stuck', (_data, context) => ((signal = context.signal), new Promise(() => undefined)), 100);
    await app.get(QueueService).send('stuck', 1);
    await waitUntil(() => signal, { what: 'the handler runs' });
    const before = performance.now();
    await app.close();
    expect(performance.now() - before).toBeLessThan(2_000);
    expect(signal?.reason).toMatchObject({ name: 'MessageLostError', reason: 'shutdown' });
    const ran: number[] = [];
    const next = await start('stuck', (data) => void ran.push(data));
    await settled(next, 'stuck');
    expect(ran).toEqual([1]);
  });

  it('still sends while the application closes: what a drain or a destroy hook sends is stored', async () => {
    @Injectable()
    class Farewell implements OnModuleDestroy {
      constructor(private readonly queues: QueueService) {}
      async onModuleDestroy(): Promise<void> {
        await this.queues.send('farewell', 'bye');
      }
    }
    const imports = [RedisStreamsModule.registerQueue({ name: 'farewell' })];
    const app = await apps.context(redis, { imports, providers: [Farewell] });
    await apps.close(app);
    const next = await apps.context(redis, { imports });
    expect(await next.get(QueueService).stats('farewell')).toMatchObject({ messages: 1 });
  });
});
