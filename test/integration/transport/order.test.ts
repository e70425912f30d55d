import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { RedisStreamsContext, RedisStreamsRecord, streamOptions } from 'nestjs-redis-streams/transport';
import { beforeEach, describe, expect, it } from 'vitest';
import { failureOf, Net, waitUntil } from './support/net.js';

const net = new Net();
interface Step { readonly by: string; readonly key: string | undefined; readonly n: number }
let steps: Step[] = [];
beforeEach(() => void (steps = []));

function handlersOf(by: string, partitions = 8) {
  @Controller()
  class Handlers {
    @EventPattern<unknown>('moved', streamOptions({ partitions, retry: { initialMs: 10, factor: 1, jitter: 0, maxAttempts: 5 } }))
    async moved(@Payload() n: number, @Ctx() { key, attempt }: RedisStreamsContext): Promise<void> {
      await new Promise((resolve) => setTimeout(resolve, n % 3));
      // A retry holds up those of its key behind it.
      if (n % 20 === 7 && attempt === 1) throw new Error('again');
      steps.push({ by, key, n });
    }
  }
  return Handlers;
}

describe('events of a pattern with partitions', () => {
  it('are handled in order for each key, over two instances of which one leaves, and once by each service', async () => {
    const keys = Array.from({ length: 12 }, (_, i) => `key-${i}`);
    const staying = await net.serve([handlersOf('a1')], { transport: { service: 'a' } });
    const leaving = await net.serve([handlersOf('a2')], { transport: { service: 'a' } });
    await net.serve([handlersOf('b1')], { transport: { service: 'b' } });
    const client = net.client();
    const send = async (from: number, to: number): Promise<void> => {
      await Promise.all(keys.map(async (key) => {
        for (let n = from; n < to; n++) await client.emitAsync('moved', new RedisStreamsRecord(n, { key }));
      }));
    };
    await send(0, 20);
    await waitUntil(() => steps.some(({ by }) => by === 'a2') && steps.some(({ by }) => by === 'a1'), { what: 'both have a share', timeoutMs: 20_000 });
    await Promise.all([send(20, 40), leaving.app.close()]);
    await waitUntil(() => steps.length >= keys.length * 40 * 2, { what: 'all are handled', timeoutMs: 30_000 });
    const wanted = Array.from({ length: 40 }, (_, n) => n);
    for (const service of ['a', 'b']) {
      for (const key of keys) expect(steps.filter((step) => step.by.startsWith(service) && step.key === key).map(({ n }) => n)).toEqual(wanted);
    }
    void staying;
  });

  it('take neither an id nor a delay, and say so', async () => {
    await net.serve([handlersOf('a')]);
    const client = net.client();
    for (const options of [{ id: 'x' }, { delayMs: 100 }]) expect(await failureOf(client.emitAsync('moved', new RedisStreamsRecord(1, options)))).toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('neither') });
  });

  it('of another number in another service, or none, are refused by its listen, which says what to do', async () => {
    await net.serve([handlersOf('a')]);
    expect(await failureOf(net.serve([handlersOf('b', 4)], { transport: { service: 'b' } }))).toMatchObject({ code: 'STREAM_MISMATCH' });
    @Controller()
    class Plain {
      @EventPattern<unknown>('moved')
      moved(): void {}
    }
    expect(await failureOf(net.serve([Plain], { transport: { service: 'c' } }))).toMatchObject({ name: 'PatternMismatchError', code: 'PATTERN_MISMATCH', message: expect.stringMatching(/moved.*queue.*order.*partitions/) });
    @Controller()
    class Queued {
      @EventPattern<unknown>('queued')
      queued(): void {}
    }
    await net.serve([Queued]);
    @Controller()
    class Ordered {
      @EventPattern<unknown>('queued', streamOptions({ partitions: 2 }))
      queued(): void {}
    }
    expect(await failureOf(net.serve([Ordered], { transport: { service: 'd' } }))).toMatchObject({ name: 'PatternMismatchError' });
    // Who was refused has left nothing that works on.
    await net.client().emitAsync('moved', 1);
    await waitUntil(() => steps.length === 1, { what: 'the first service has it' });
  });
});
