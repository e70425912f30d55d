import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import type { RedisStreamsEngine } from 'nestjs-redis-streams';
import { RedisStreamsClient, RedisStreamsContext } from 'nestjs-redis-streams/transport';
import { expect, it } from 'vitest';
import { ask, Net, waitUntil } from './support/net.js';

const net = new Net();
const CLIENTS = 1_000;
const AT_ONCE = 20;
const PRODUCER_TTL_MS = 60_000;

@Controller()
class Handlers {
  @MessagePattern('double')
  double(@Payload() n: number, @Ctx() { headers }: RedisStreamsContext): number {
    return headers['x'] === undefined ? 2 * n : 0;
  }
  @EventPattern<unknown>('happened')
  happened(): void {}
}

it('a thousand short-lived clients leave no stream, consumer, group or registration behind, and what is left of them expires', async () => {
  const { engine } = await net.serve([Handlers]);
  await net.serve([Handlers]);
  const first = net.client();
  expect(await ask(first, 'double', 1)).toBe(2);
  await first.emitAsync('happened', 1);
  await first.close();
  const about = async (): Promise<object> => {
    const queues = engine.queues();
    const [requests, events] = await Promise.all([
      queues.stats({ queue: 'request.double', namespace: net.namespace }, 'responders'),
      queues.stats({ queue: 'event.happened', namespace: net.namespace }, 'svc'),
    ]);
    return [requests, events].map(({ groups, consumers, deadLetters, messages }) => ({ groups, consumers, deadLetters, messages }));
  };
  const lasting = async (): Promise<string[]> => (await allKeys()).filter((key) => !key.includes(':producer:')).toSorted();
  await waitUntil(async () => JSON.stringify(await about()).split('"messages":0').length === 3, { what: 'all is settled' });
  const [keys, known] = [await lasting(), await about()];

  let left = CLIENTS;
  const streams = new Set<string>();
  const one = async (): Promise<void> => {
    while (left > 0) {
      const n = left--;
      const client = new RedisStreamsClient(net.options());
      if (n % 10 === 0) await client.emitAsync('happened', n);
      expect(await ask(client, 'double', n)).toBe(2 * n);
      if (n % 50 === 0) for (const stream of await net.replyStreams()) streams.add(stream);
      await client.close();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  // The test is of something: there were such streams.
  expect(streams.size).toBeGreaterThan(10);
  expect(await net.replyStreams()).toEqual([]);
  await waitUntil(async () => JSON.stringify(await about()) === JSON.stringify(known), { what: 'all is settled' });
  expect((await lasting()).filter((key) => !keys.includes(key))).toEqual([]);

  const producers = (await allKeys()).filter((key) => key.includes(':producer:'));
  const expiries = await Promise.all(producers.map(async (key) => Number(await net.redis.cli('PTTL', key))));
  expect(expiries.filter((ttl) => ttl === -1 || ttl > PRODUCER_TTL_MS)).toEqual([]);
  await waitUntil(async () => String(await net.redis.cli('CLIENT', 'LIST')).trim().split('\n').length < 20, { what: 'their connections are gone' });
}, 240_000);

async function allKeys(): Promise<string[]> {
  const keys: string[] = [];
  let cursor = '0';
  do {
    const [next, page] = (await net.redis.cli('SCAN', cursor, 'COUNT', 1_000)) as [string, string[]];
    cursor = next;
    keys.push(...page);
  } while (cursor !== '0');
  return [...new Set(keys)];
}

it('whoever listens to a client while it connects hears what happens then', async () => {
  const client = net.client();
  const heard: number[] = [];
  const connecting = client.connect();
  let isConnected = false;
  void connecting.then(() => (isConnected = true));
  let listeners = 0;
  while (!isConnected) {
    const i = listeners++;
    client.on('connection.ready', () => void heard.push(i));
    // Its engine is there after a few microtasks, Redis's answer later.
    await (i < 200 ? undefined : new Promise((resolve) => setImmediate(resolve)));
  }
  expect(listeners).toBeGreaterThan(200);
  heard.length = 0;
  const engine = client.unwrap<RedisStreamsEngine>();
  engine.events.emit('connection.ready', { connection: 'default', role: 'commands' });
  expect(heard.toSorted((a, b) => a - b)).toEqual(Array.from({ length: listeners }, (_, i) => i));
  await client.close();
});
