import { Injectable, Logger } from '@nestjs/common';
import { DeadLetterService, InjectDeadLetters, LeaseService, OnStreamAssigned } from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { Apps } from '../partition-module/support/apps.js';

let redis: RedisServer;
beforeAll(async () => { redis = await startRedis(); });
afterAll(() => redis.stop());
const apps = new Apps();

const source = { kind: 'lease', service: 'orders' } as const;

describe('DeadLetterService', () => {
  it('is injected by class and by connection, and what it does is in the log', async () => {
    let broken = true;
    const done: string[] = [];
    @Injectable()
    class Orders {
      constructor(readonly letters: DeadLetterService, @InjectDeadLetters('other') readonly others: DeadLetterService) {}

      @OnStreamAssigned({ service: 'orders', maxAttempts: 1 })
      assigned({ stream }: { stream: string }): void {
        if (broken) throw new Error('no');
        done.push(stream);
      }
    }
    const app = await apps.context(redis, { providers: [Orders] }, { connections: { other: { url: redis.url } } });
    const { letters, others } = app.get(Orders);
    expect(app.get(DeadLetterService)).toBe(letters);
    expect(others).not.toBe(letters);
    const lines: string[] = [];
    Logger.overrideLogger({ log: (line: string) => void lines.push(line), warn: () => undefined, error: () => undefined, debug: () => undefined, fatal: () => undefined, verbose: () => undefined });
    try {
      await app.get(LeaseService).announceMany('orders', ['a', 'b', 'c'].map((stream) => ({ stream })));
      await waitUntil(async () => (await others.count(source)) === 3, { what: 'three letters' });
      const { letters: list } = await letters.list(source, { order: 'oldest' });
      expect(await others.get(source, list[0]!.entryId)).toEqual(list[0]);
      broken = false;
      expect(await letters.replay(source, { filter: { key: ['a', 'b'] } }, { by: 'alice' })).toMatchObject({ replayed: 2 });
      await waitUntil(() => done.length === 2, { what: 'both are handled' });
      expect(await others.purge(source, 'all')).toBe(1);
      expect(lines.filter((line) => line.includes('dead letter'))).toEqual(['lease orders: 2 dead letters replayed by alice', expect.stringMatching(/^lease orders: 1 dead letter purged by \S+$/)]);
    } finally {
      Logger.overrideLogger(false);
    }
  });

  it('of an application that is closing refuses, and a slow replay ends with it', async () => {
    const app = await apps.context(redis, {});
    const service = app.get(DeadLetterService);
    for (let n = 0; n < 4; n++) await redis.cli('XADD', '{slow-input}:dead', '*', 'reason', 'r', 'stream', `s${n}`, 'entry.lbs-input', `{"DataStreamName":"s${n}"}`);
    const slow = { kind: 'lease', service: 'slow' } as const;
    const replay = service.replay(slow, {}, { perSecond: 0.01 }).catch((error: Error) => error);
    await waitUntil(async () => (await service.count(slow)) === 3, { what: 'the first has gone back' });
    const startedAt = performance.now();
    await apps.close(app);
    expect(await replay).toMatchObject({ name: 'ClosedError' });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await expect(service.list(slow)).rejects.toMatchObject({ name: 'ClosedError' });
    expect(await redis.cli('XLEN', '{slow-input}:dead')).toBe(3);
  });
});
