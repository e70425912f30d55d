import { Controller, type INestMicroservice, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import type { RedisStreamsOptions } from 'nestjs-redis-streams';
import { RedisStreamsClient, RedisStreamsContext, RedisStreamsRecord, RedisStreamsServer, streamOptions } from 'nestjs-redis-streams/transport';
import { interval, type Observable, take } from 'rxjs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { takeTopology, type Topology } from '../../support/topology.js';
import { ask, askAll, QUIET, waitUntil } from './support/net.js';

let topology: Topology;
const apps: INestMicroservice[] = [];
let client: RedisStreamsClient;
const seen: unknown[] = [];
let aborted = 0;

function handlersOf(who: string) {
  @Controller()
  class Handlers {
    @MessagePattern('echo')
    echo(@Payload() data: unknown): unknown {
      return data;
    }
    @MessagePattern('many')
    many(@Payload() n: number, @Ctx() { signal }: RedisStreamsContext): Observable<number> {
      signal.addEventListener('abort', () => aborted++);
      return interval(2).pipe(take(n));
    }
    @EventPattern<unknown>('sharded')
    one(@Payload() data: unknown): void {
      seen.push(['sharded', data]);
    }
    @EventPattern<unknown>('sharded')
    two(@Payload() data: number, @Ctx() { attempt }: RedisStreamsContext): void {
      if (data % 10 === 0 && attempt === 1) throw new Error('again');
      seen.push(['second', data]);
    }
    @EventPattern<unknown>('all', streamOptions({ broadcast: true }))
    all(@Payload() data: unknown): void {
      seen.push([who, data]);
    }
    @EventPattern<unknown>('ordered', streamOptions({ partitions: 6 }))
    ordered(@Payload() data: unknown, @Ctx() { key }: RedisStreamsContext): void {
      seen.push([key, data]);
    }
  }
  return Handlers;
}

beforeAll(async () => {
  topology = await takeTopology('cluster');
  const nodes = topology.kind === 'cluster' ? [...topology.cluster.startupNodes] : [];
  const retry = { initialMs: 20, factor: 1, jitter: 0 };
  const options: RedisStreamsOptions = { connection: { cluster: { nodes } }, session: { ttlMs: 2_000 }, onError: () => undefined, transport: { service: 'svc', namespace: `transport${process.pid}`, shards: 3, events: { retry }, requests: { retry } } };
  for (const who of ['a', 'b']) {
    @Module({ controllers: [handlersOf(who)] })
    class App {}
    const app = await NestFactory.createMicroservice(App, { ...QUIET, strategy: new RedisStreamsServer(options) });
    apps.push(app);
    await app.listen();
  }
  client = new RedisStreamsClient(options);
});
afterAll(async () => {
  await client?.close();
  await Promise.all(apps.map((app) => app.close()));
  await topology?.stop();
});

const of = (who: string): unknown[] => (seen as Array<[string, unknown]>).filter(([by]) => by === who).map(([, data]) => data);

it('on a cluster of three masters: requests, values, cancellation', async () => {
  const numbers = Array.from({ length: 200 }, (_, n) => n);
  expect(await Promise.all(numbers.map((n) => ask(client, 'echo', n)))).toEqual(numbers);
  expect(await askAll(client, 'many', 50)).toEqual(numbers.slice(0, 50));
  expect(await ask(client, 'many', 1)).toBe(0);
  client.send('many', 1_000_000).pipe(take(3)).subscribe();
  await waitUntil(() => aborted === 1, { what: 'the server is told' });
});

it('events of sharded queues, with several handlers; broadcast; in order', async () => {
  const numbers = Array.from({ length: 60 }, (_, n) => n);
  await Promise.all(numbers.map((n) => client.emitAsync('sharded', n)));
  await client.emitAsync('all', 'x');
  for (const n of numbers) await client.emitAsync('ordered', new RedisStreamsRecord(n, { key: `key${n % 3}` }));
  await waitUntil(() => of('sharded').length >= 60 && of('second').length >= 60 && of('a').length > 0 && of('b').length > 0 && ['key0', 'key1', 'key2'].every((key) => of(key).length >= 20), { what: 'all are handled' });
  for (const name of ['sharded', 'second']) expect((of(name) as number[]).toSorted((x, y) => x - y)).toEqual(numbers);
  expect([of('a'), of('b')]).toEqual([['x'], ['x']]);
  for (const i of [0, 1, 2]) expect(of(`key${i}`)).toEqual(numbers.filter((n) => n % 3 === i));
});
