import { setTimeout as sleep } from 'node:timers/promises';
import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { RedisStreamsEngine } from 'nestjs-redis-streams';
import { RedisStreamsClient, streamOptions } from 'nestjs-redis-streams/transport';
import { beforeEach, describe, expect, it } from 'vitest';
import { ask, failureOf, Net, waitUntil } from './support/net.js';
import { seen, SeeingEvents } from './support/seeing.js';

const net = new Net();
beforeEach(() => void (seen.length = 0));

@Controller()
class Handlers extends SeeingEvents {
  @MessagePattern('double')
  double(@Payload() n: number): number {
    seen.push(n);
    return n * 2;
  }
}

@Controller()
class OrderedAndBroadcast {
  @EventPattern<unknown>('prices', streamOptions({ partitions: 2 }))
  ordered(): void {
    seen.push('ordered');
  }
  @EventPattern<unknown>('prices', streamOptions({ broadcast: true }))
  all(): void {
    seen.push('broadcast');
  }
}

describe('the transport', () => {
  it('acknowledges requests also where queues are acknowledged by hand', async () => {
    await net.serve([Handlers], { queue: { ack: 'manual' }, transport: { requests: { concurrency: 2 } } });
    const client = net.client({ transport: { requestTimeoutMs: 5_000 } });
    for (let i = 0; i < 6; i++) expect(await ask(client, 'double', i)).toBe(2 * i);
  });

  it('refuses handlers with partitions beside others with broadcast, and registers neither', async () => {
    await expect(net.serve([OrderedAndBroadcast])).rejects.toThrow(/event prices: has handlers with `partitions` and others with `broadcast`/);
    expect(await net.redis.cli('KEYS', '*prices*')).toEqual([]);
  });

  it('writes replies to nothing else, whatever a header says; and loses nothing over an expiry that is none', async () => {
    const { engine } = await net.serve([Handlers]);
    await net.redis.cli('XADD', 'audit', '*', 'who', 'me');
    const queue = (name: string) => engine.queues().queue({ queue: name, namespace: net.namespace });
    await queue('request.double').send(1, { headers: { 'nrs-replies': 'audit', 'nrs-request': 'x' } });
    await queue('event.event').send('kept', { headers: { 'nrs-ttl': 'soon' } });
    const letters = await net.letters(net.client(), 'request.double');
    await waitUntil(async () => (await letters.count()) === 1 && seen.length === 1, { what: 'both are settled' });
    expect((await letters.list()).map(({ reason }) => reason)).toEqual(['no-reply-address']);
    expect(seen).toEqual(['kept']);
    expect(await net.redis.cli('XLEN', 'audit')).toBe(1);
  });

  it('sends no request of a client that was closed over its serializer', async () => {
    await net.serve([Handlers]);
    let encoded = (): void => undefined;
    const encoding = new Promise<void>((resolve) => (encoded = resolve));
    let begun = 0;
    const serialize = async (packet: unknown): Promise<unknown> => {
      if (++begun > 1) await encoding;
      return packet;
    };
    const engine = net.onEnd(new RedisStreamsEngine(net.options()), (each) => each.stop());
    await engine.start();
    const client = new RedisStreamsClient({ engine, transport: { ...net.options().transport, serializer: { serialize } } });
    expect(await ask(client, 'double', 1)).toBe(2);
    const failure = failureOf(ask(client, 'double', 2));
    await waitUntil(() => begun === 2, { what: 'the request is being serialized' });
    await client.close();
    encoded();
    expect(await failure).toMatchObject({ code: 'CLOSED' });
    expect(seen).toEqual([1]);
  });

  it('opens no client on an engine whose clients were closed: nobody would close it', async () => {
    const engine = new RedisStreamsEngine(net.options());
    await engine.start();
    const client = new RedisStreamsClient({ engine, transport: net.options().transport });
    await client.connect();
    let troubles = 0;
    engine.events.on('reader.error', () => void troubles++);
    let asked: Promise<unknown> | undefined;
    engine.beforeClose(async () => {
      await client.close();
      asked = failureOf(ask(client, 'double', 1));
      await sleep(100);
    });
    await engine.stop();
    expect(await asked).toMatchObject({ code: 'CLOSED' });
    await sleep(600); // one that reads for ever fails each 250 ms
    expect(troubles).toBe(0);
  });
});
