import 'reflect-metadata';
import { Controller, type INestApplication, type INestMicroservice, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { getStreamsClientToken, type RedisStreamsClient, RedisStreamsModule, type RedisStreamsOptions, RedisStreamsRecord, RedisStreamsServer } from 'nestjs-redis-streams';
import { RedisStreamsClient as Client, type RedisStreamsContext, streamOptions } from 'nestjs-redis-streams/transport';
import { interval, lastValueFrom, NEVER, type Observable, take, toArray } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { redisCommands } from '../support/redis-command.js';
import { type RedisServer, startRedis } from '../support/redis-server.js';
import { waitUntil } from '../support/wait.js';
import { commandsOf, granted, passwordOf, usersOfTheDocument } from './support/acl.js';

const users = usersOfTheDocument('shop-');
const rulesOf = (user: string): string[] => users.get(user) as string[];
/** What is the transport's own, beside what users of queues and partitions have; the others are shown to be needed there. */
const OWN = { 'shop-app': ['ping', 'exists'], 'shop-web': ['ping', 'exists', 'del', 'xread'] };

let seen: string[] = [];
/** Entries of what was sent twice under one id. */
const stored = new Set<string>();
const RETRY = { maxAttempts: 2, initialMs: 5 };

@Controller()
class Shop {
  @EventPattern<string>('plain', streamOptions({ retry: RETRY }))
  plain(@Payload() data: string, @Ctx() { attempt, id }: RedisStreamsContext): void {
    seen.push(`plain ${data} ${attempt}`);
    if (data === 'same') stored.add(id);
    if (data === 'dead' || (data === 'again' && attempt === 1)) throw new Error('refused');
  }
  @EventPattern<string>('two', streamOptions({ retry: RETRY }))
  first(): void {
    seen.push('first');
  }
  @EventPattern<string>('two', streamOptions({ retry: RETRY }))
  second(@Payload() _: unknown, @Ctx() { attempt }: RedisStreamsContext): void {
    seen.push(`second ${attempt}`);
    if (attempt === 1) throw new Error('once');
  }
  @EventPattern('ordered', streamOptions({ partitions: 2 }))
  ordered(@Payload() data: string): void {
    seen.push(`ordered ${data}`);
  }
  @EventPattern('all', streamOptions({ broadcast: true }))
  all(@Payload() data: string): void {
    seen.push(`all ${data}`);
  }
  @MessagePattern('sum')
  sum(@Payload() numbers: number[]): number {
    return numbers.reduce((a, b) => a + b, 0);
  }
  @MessagePattern('count')
  count(@Payload() most: number): Observable<number> {
    return interval(1).pipe(take(most));
  }
  @MessagePattern('never')
  never(@Payload() _: unknown, @Ctx() { signal }: RedisStreamsContext): Observable<never> {
    seen.push('begun');
    signal.addEventListener('abort', () => seen.push('aborted'), { once: true });
    return NEVER;
  }
}

@Controller()
class Late {
  @EventPattern('late')
  late(@Payload() data: string): void {
    seen.push(`late ${data}`);
  }
}

describe('the ACL users of docs/operations.md for the transport', () => {
  let server: RedisServer;
  const apps: Array<INestApplication | INestMicroservice> = [];
  const clients: Client[] = [];
  const errors: string[] = [];

  const optionsOf = (user: string): RedisStreamsOptions => ({
    connection: { url: server.url, options: { username: user, password: passwordOf(rulesOf(user)) } },
    session: { ttlMs: 3_000 },
    transport: { service: 'shop', requestTimeoutMs: 10_000 },
    onError: (error) => void errors.push(error.message),
  });
  const hybrid = async (controller: Type): Promise<INestApplication> => {
    class App {}
    Module({ imports: [RedisStreamsModule.forRoot(optionsOf('shop-app')), RedisStreamsModule.registerClient()], controllers: [controller] })(App);
    const app = await NestFactory.create(App, { logger: false });
    apps.push(app);
    app.connectMicroservice({ strategy: app.get(RedisStreamsServer) });
    await app.startAllMicroservices();
    await app.init();
    return app;
  };
  const denied = async (): Promise<unknown> => server.cli('ACL', 'LOG');
  const used = async (): Promise<Set<string>> => commandsOf(String(await server.cli('INFO', 'commandstats')));
  const saw = (...what: string[]): Promise<unknown> => waitUntil(() => what.every((each) => seen.includes(each)), { what: `${what.join(', ')} (saw ${seen.join(', ')})` });

  /** Everything a client may do. */
  const all = async (client: Client | RedisStreamsClient): Promise<void> => {
    seen = [];
    stored.clear();
    for (const data of ['once', 'again', 'dead']) await client.emitAsync('plain', new RedisStreamsRecord(data, { headers: { by: 'test' }, key: 'k' }));
    await client.emitAsync('plain', new RedisStreamsRecord('later', { delayMs: 20 }));
    for (let n = 0; n < 2; n++) await client.emitAsync('plain', new RedisStreamsRecord('same', { id: `same ${clients.length}` }));
    await client.emitAsync('two', 1);
    for (let n = 0; n < 3; n++) await client.emitAsync('ordered', new RedisStreamsRecord(`${n}`, { key: 'k' }));
    await lastValueFrom(client.emit('all', 'x'));
    expect(await lastValueFrom(client.send<number>('sum', [1, 2]))).toBe(3);
    expect(await lastValueFrom(client.send<number>('count', 100).pipe(toArray()))).toHaveLength(100);
    const open = client.send('never', 1).subscribe();
    await saw('begun');
    open.unsubscribe();
    await saw('plain once 1', 'plain again 2', 'plain dead 2', 'plain later 1', 'plain same 1', 'second 2', 'ordered 2', 'all x', 'aborted');
    expect(seen).toContain('first');
    expect(stored.size).toBe(1);
  };

  beforeAll(async () => {
    server = await startRedis();
    for (const [user, rules] of users) await server.cli('ACL', 'SETUSER', user, ...rules);
  });
  afterAll(async () => {
    await Promise.all([...clients, ...apps].map((each) => each.close()));
    await server?.stop();
  });

  it('let servers with clients do everything, with nothing refused', async () => {
    await server.cli('CONFIG', 'RESETSTAT');
    const app = await hybrid(Shop);
    const client = app.get<RedisStreamsClient>(getStreamsClientToken());
    await client.emitAsync('late', 'a');
    await all(client);
    const late = await hybrid(Late);
    await saw('late a');
    await late.close();
    // The stream of replies is trimmed by then, and goes with the client.
    await app.close();
    expect(await server.cli('KEYS', '{transport:transport:*}:replies')).toEqual([]);
    expect(await server.cli('KEYS', '*:sessions:shop.each.*')).toEqual([]);
    expect([await denied(), errors]).toEqual([[], []]);
    const commands = await used();
    expect(OWN['shop-app'].filter((command) => !commands.has(command) && command !== 'ping')).toEqual([]);
  });

  it('let clients alone send and be answered, with nothing refused and no command of their own in vain', async () => {
    await hybrid(Shop);
    await server.cli('SCRIPT', 'FLUSH');
    await server.cli('CONFIG', 'RESETSTAT');
    const client = new Client(optionsOf('shop-web'));
    clients.push(client);
    await client.connect();
    await all(client);
    await client.emitAsync('never heard of', 'b');
    await client.close();
    expect([await denied(), errors]).toEqual([[], []]);
    const commands = await used();
    expect(OWN['shop-web'].filter((command) => !commands.has(command))).toEqual([]);
  });

  it('are those of queues and of partitions, and nothing beside what is their own', () => {
    for (const kind of ['app', 'web'] as const) {
      const name = `shop-${kind}` as const;
      const both = ['mails', 'payments'].flatMap((other) => granted(usersOfTheDocument(`${other}-`).get(`${other}-${kind}`) as string[]));
      expect(new Set(granted(rulesOf(name)))).toEqual(new Set([...both, ...OWN[name]]));
    }
  });

  it('keep out of other keys, channels and administration', async () => {
    const as = (user: string, ...command: string[]): Promise<unknown> => redisCommands(server.port, [['AUTH', user, passwordOf(rulesOf(user))], command]);
    await expect(as('shop-web', 'XREADGROUP', 'GROUP', 'shop', 'a', 'STREAMS', '{queue:transport:event.plain/0}:messages', '>')).rejects.toThrow('NOPERM');
    for (const user of users.keys()) {
      await expect(as(user, 'XADD', '{queue:mails/0}:messages', '*', 'a', 'b')).rejects.toThrow('NOPERM');
      await expect(as(user, 'XADD', '{transport:other:ab}:replies', '*', 'a', 'b')).rejects.toThrow('NOPERM');
      await expect(as(user, 'PUBLISH', '{transport:other}:cancel', 'a')).rejects.toThrow('NOPERM');
      await expect(as(user, 'CONFIG', 'GET', '*')).rejects.toThrow('NOPERM');
      await expect(as(user, 'FLUSHALL')).rejects.toThrow('NOPERM');
    }
  });
});
