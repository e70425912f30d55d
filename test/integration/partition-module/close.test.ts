import { Injectable, type INestApplicationContext, Module, type OnModuleDestroy } from '@nestjs/common';
import { type PartitionContext, PartitionHandler, PartitionService, RedisStreamsModule } from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Apps, clients, committed } from './support/apps.js';

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

type Work = (data: number, context: PartitionContext, database: Database) => unknown;

/** An application whose handler uses a provider of another module that shuts down in onModuleDestroy. */
function start(stream: string, work: Work, drainMs = 3_000): Promise<INestApplicationContext> {
  @Injectable()
  class Handlers {
    constructor(private readonly database: Database) {}
    @PartitionHandler({ stream, group: 'g', concurrency: 8 })
    handle(data: number, context: PartitionContext): unknown {
      return work(data, context, this.database);
    }
  }
  @Module({ providers: [Database], exports: [Database] })
  class DatabaseModule {}
  const imports = [DatabaseModule, RedisStreamsModule.registerStream({ name: stream, partitions: 4 })];
  return apps.context(redis, { imports, providers: [Handlers] }, { shutdown: { drainMs } });
}

describe('app.close()', () => {
  it('waits for what runs, whose providers live until then, and commits it: nothing runs again, nothing is left out', async () => {
    const ran = new Map<number, number>();
    const open: boolean[] = [];
    const work: Work = async (data, _context, database) => {
      ran.set(data, (ran.get(data) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      open.push(database.isOpen);
    };
    const app = await start('drained', work);
    const service = app.get(PartitionService);
    await service.sendMany('drained', Array.from({ length: 2_000 }, (_, data) => ({ key: `k${data % 100}`, data })));
    await waitUntil(() => ran.size > 200, { what: 'some have run' });
    await Promise.all([app.close(), app.close()]);
    expect(ran.size).toBeLessThan(2_000);
    expect(open).toHaveLength(ran.size);
    expect(new Set(open)).toEqual(new Set([true]));
    await waitUntil(async () => (await clients(redis)) === 0, { what: 'no connection is left' });

    const next = await start('drained', work);
    await committed(next, 'drained');
    expect(ran.size).toBe(2_000);
    expect([...ran.values()].filter((runs) => runs !== 1)).toEqual([]);
  });

  it('does not wait longer than drainMs for one that never ends; it runs again elsewhere', async () => {
    let signal: AbortSignal | undefined;
    const app = await start('stuck', (_data, context) => ((signal = context.signal), new Promise(() => undefined)), 100);
    await app.get(PartitionService).send('stuck', { key: 'k', data: 1 });
    await waitUntil(() => signal, { what: 'the handler runs' });
    const before = performance.now();
    await app.close();
    expect(performance.now() - before).toBeLessThan(2_000);
    expect(signal?.reason).toMatchObject({ name: 'PartitionLostError', reason: 'shutdown' });
    const ran: number[] = [];
    const next = await start('stuck', (data) => void ran.push(data));
    await committed(next, 'stuck');
    expect(ran).toEqual([1]);
  });

  it('still sends while the application closes: what a drain or a destroy hook sends is stored', async () => {
    @Injectable()
    class Farewell implements OnModuleDestroy {
      constructor(private readonly partitions: PartitionService) {}
      async onModuleDestroy(): Promise<void> {
        await this.partitions.send('farewell', { key: 'k', data: 'bye' });
      }
    }
    const imports = [RedisStreamsModule.registerStream({ name: 'farewell', partitions: 1 })];
    const app = await apps.context(redis, { imports, providers: [Farewell] });
    await apps.close(app);
    expect(await redis.cli('XLEN', '{farewell/0}:0')).toBe(1);
  });
});
