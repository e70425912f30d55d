import { Injectable } from '@nestjs/common';
import {
  type EjectedSubscriber, FanoutService, type JoinedRoom, OnRoomEjected, OnRoomJoined, OnRoomMessage, RedisStreamsEvents, type RoomContext,
} from 'nestjs-redis-streams';
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

describe('@OnRoomEjected', () => {
  it('tells of a handler that took too long: aborted, the room goes on with the others, and it comes back when it has ended', async () => {
    const out: EjectedSubscriber[] = [];
    const shown: string[] = [];
    let joins = 0;
    let running: RoomContext | undefined;
    let finish = (): void => undefined;
    @Injectable()
    class Slow {
      @OnRoomMessage('slow', { ackTimeoutMs: 100 })
      async slow(n: number, context: RoomContext): Promise<void> {
        shown.push(`slow ${n}`);
        if (n !== 1) return;
        running = context;
        await new Promise<void>((resolve) => (finish = resolve));
      }
      @OnRoomMessage('slow')
      quick(n: number): void {
        shown.push(`quick ${n}`);
      }
      @OnRoomEjected('slow')
      ejected(event: EjectedSubscriber): void {
        out.push(event);
      }
      @OnRoomJoined('slow')
      joined({ subscriber }: JoinedRoom): void {
        if (subscriber !== '') joins += 1;
      }
    }
    const service = (await apps.context(redis, { providers: [Slow] })).get(FanoutService);
    const first = await service.send('slow', 1, { await: 'acked' });
    expect(first).toMatchObject({ acknowledged: 1, ejected: [running?.subscriber] });
    expect(out).toEqual([{ room: 'slow', subscriber: running?.subscriber, reason: 'timeout', messageId: first.id, rejoins: true }]);
    expect(running?.signal.reason).toMatchObject({ name: 'RoomEjectedError', reason: 'timeout', room: 'slow' });
    expect(await service.send('slow', 2, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
    expect(joins).toBe(2);
    finish();
    await waitUntil(() => joins === 3, { what: 'it is back' });
    await service.send('slow', 3, { await: 'acked' });
    expect(shown).toEqual(['slow 1', 'quick 1', 'quick 2', 'slow 3', 'quick 3']);
    expect(out).toHaveLength(1);
  });

  it('tells of a handler that fails: after its attempts, or at once; one that leaves then stays out', async () => {
    const out: Array<[string, string, boolean]> = [];
    const shown: string[] = [];
    const names = new Map<string, string>();
    const note = (name: string, n: number, { subscriber, attempt }: RoomContext): void => {
      names.set(subscriber, name);
      shown.push(`${name} ${n}.${attempt}`);
    };
    @Injectable()
    class Failing {
      @OnRoomMessage('failing', { retry: { maxAttempts: 3, initialMs: 1 } })
      retried(n: number, context: RoomContext): void {
        note('retried', n, context);
        if (n === 1) throw new Error('no');
      }
      @OnRoomMessage('failing', { onFailure: 'eject', whenEjected: 'leave' })
      async leaves(n: number, context: RoomContext): Promise<void> {
        note('leaves', n, context);
        throw new Error('never');
      }
      @OnRoomMessage('failing', { onFailure: 'ack' })
      passes(n: number, context: RoomContext): void {
        note('passes', n, context);
        throw new Error('whatever');
      }
      @OnRoomEjected('failing')
      ejected({ subscriber, reason, rejoins }: EjectedSubscriber): void {
        out.push([names.get(subscriber) ?? '', reason, rejoins]);
        throw new Error('the hook fails too');
      }
    }
    const app = await apps.context(redis, { providers: [Failing] });
    const service = app.get(FanoutService);
    const hookErrors: string[] = [];
    app.get(RedisStreamsEvents).on('hook.error', ({ hook, error }) => hookErrors.push(`${hook}: ${error.message}`));
    expect((await service.send('failing', 1, { await: 'acked' })).ejected).toHaveLength(2);
    expect(out.toSorted()).toEqual([['leaves', 'failed', false], ['retried', 'failed', true]]);
    await waitUntil(() => hookErrors.length === 2, { what: 'the hook is reported' });
    expect(new Set(hookErrors)).toEqual(new Set(['ejected: the hook fails too']));
    await waitUntil(async () => (await service.metrics()).subscribers === 2 && (await service.state('failing')).members.length === 1, { what: 'the first is back' });
    expect(await service.send('failing', 2, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
    const by = (name: string): string[] => shown.filter((line) => line.startsWith(name));
    expect(by('retried')).toEqual(['retried 1.1', 'retried 1.2', 'retried 1.3', 'retried 2.1']);
    expect(by('leaves')).toEqual(['leaves 1.1']);
    expect(by('passes')).toEqual(['passes 1.1', 'passes 2.1']);
  });

  it('for a room, a pattern or a connection that no @OnRoomMessage has, ends the start', async () => {
    @Injectable()
    class Misspelt {
      @OnRoomMessage('game.*')
      message(): void {}
      @OnRoomEjected('game.1')
      ejected(): void {}
      @OnRoomJoined({ room: 'game.*', connection: 'there' })
      joined(): void {}
    }
    await expect(apps.context(redis, { providers: [Misspelt] }, { connections: { there: { url: redis.url } } })).rejects.toMatchObject({
      name: 'InvalidOptionsError',
      problems: [
        { path: 'Misspelt.ejected', message: '@OnRoomEjected for room "game.1", which no method handles with @OnRoomMessage' },
        { path: 'Misspelt.joined', message: '@OnRoomJoined for room "game.*" on connection "there", which no method handles with @OnRoomMessage' },
      ],
    });
  });
});
