import { RedisStreamsEngine } from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { redisCommands } from '../support/redis-command.js';
import { type RedisServer, startRedis } from '../support/redis-server.js';
import { waitUntil } from '../support/wait.js';
import { commandsOf, granted, passwordOf, usersOfTheDocument } from './support/acl.js';

const users = usersOfTheDocument('mails-');
const rulesOf = (user: string): string[] => users.get(user) as string[];
const SHARD = '{queue:mails/0}';

describe('the ACL users of docs/operations.md for queues', () => {
  let server: RedisServer;
  const engines: RedisStreamsEngine[] = [];
  const errors: string[] = [];

  const engineOf = (user: string, consumerName?: string): RedisStreamsEngine => {
    const engine = new RedisStreamsEngine({
      connection: { url: server.url, options: { username: user, password: passwordOf(rulesOf(user)) } },
      ...(consumerName ? { consumerName } : {}),
      session: { ttlMs: 600 },
      shutdown: { drainMs: 50 },
      onError: (error) => void errors.push(error.message),
    });
    engines.push(engine);
    return engine;
  };
  const denied = async (): Promise<unknown> => server.cli('ACL', 'LOG');
  const used = async (): Promise<Set<string>> => commandsOf(String(await server.cli('INFO', 'commandstats')));

  beforeAll(async () => {
    server = await startRedis();
    for (const [user, rules] of users) await server.cli('ACL', 'SETUSER', user, ...rules);
  });
  afterAll(async () => {
    for (const engine of engines) await engine.stop();
    await server?.stop();
  });

  it('let processes with handlers do everything, with nothing refused and no command granted in vain', async () => {
    await server.cli('CONFIG', 'RESETSTAT');
    const app = engineOf('mails-app', 'app-1');
    app.registerQueue({ name: 'mails' });
    const done: string[] = [];
    const handle = (data: unknown, { attempt }: { attempt: number }): unknown => {
      if (data === 'stuck' && attempt === 1) return new Promise(() => undefined);
      if (data === 'dead' || (data === 'again' && attempt === 1)) throw new Error('refused');
      return done.push(String(data));
    };
    const retry = { maxAttempts: 2, initialMs: 5 };
    app.addQueueConsumer({ queue: 'mails', retry }, { message: handle });
    app.addQueueConsumer({ queue: 'mails', group: 'audit' }, { message: () => undefined });
    await app.start();
    // One that has registered the queue, and one that finds it.
    const other = engineOf('mails-app', 'app-2');
    await other.start();
    expect(await other.queues().stats('mails')).toMatchObject({ consumers: 1 });
    const queues = app.queues();
    const mails = queues.queue('mails');

    // Everything a sender may say, and everything that may become of a message.
    await mails.sendMany(['plain', 'again', 'dead'].map((data) => ({ data, headers: { by: 'app' }, key: 'k' })));
    await mails.send('once', { id: 'a' });
    expect((await mails.send('once', { id: 'a' })).duplicate).toBe(true);
    await mails.send('later', { delayMs: 20 });
    await waitUntil(() => ['plain', 'again', 'once', 'later'].every((data) => done.includes(data)), { what: 'all are done' });
    await waitUntil(async () => (await queues.stats('mails')).deadLetters === 1, { what: 'one is given up' });
    await queues.pause('mails');
    await queues.resume('mails');

    // A process that died over a message, as a killed one leaves it.
    await queues.pause('mails');
    await mails.send('orphan');
    await server.cli('XGROUP', 'CREATECONSUMER', `${SHARD}:messages`, 'default', 'gone:0');
    await server.cli('XREADGROUP', 'GROUP', 'default', 'gone:0', 'COUNT', '1', 'STREAMS', `${SHARD}:messages`, '>');
    await server.cli('ZADD', `${SHARD}:sessions:default`, 1, 'gone:0');
    await queues.resume('mails');
    await waitUntil(() => done.includes('orphan'), { what: 'it is taken over' });

    // One whose handler hangs is given back by the stop, and a group is removed; its messages go.
    await mails.send('stuck');
    await waitUntil(() => queues.consumer('mails')?.load().running === 1, { what: 'it hangs' });
    expect(await queues.shutdown('mails')).toBe(true);
    expect(await queues.shutdown('mails', 'audit')).toBe(true);
    await queues.removeGroup('mails', 'default');
    await Promise.all([app.stop(), other.stop()]);
    expect(await denied()).toEqual([]);
    expect(errors).toEqual([]);

    const commands = await used();
    const allowed = granted(rulesOf('mails-app'));
    expect(allowed.length).toBeGreaterThan(30);
    expect(allowed.filter((command) => !commands.has(command))).toEqual([]);
  });

  it('let senders send and look, with nothing refused and no command granted in vain', async () => {
    await server.cli('SCRIPT', 'FLUSH');
    await server.cli('CONFIG', 'RESETSTAT');
    // Once as who registers it as well, once as who finds it.
    const other = engineOf('mails-web');
    other.registerQueue({ name: 'mails' });
    await other.start();
    const web = engineOf('mails-web');
    await web.start();
    const mails = web.queues().queue('mails');
    await mails.send(1);
    await mails.send(2, { id: 'b', headers: { by: 'web' } });
    await server.cli('ZADD', `${SHARD}:ids`, 1, 'over');
    await mails.send(3, { id: 'c' });
    expect((await mails.send(2, { id: 'b' })).duplicate).toBe(true);
    await mails.send(4, { delayMs: 60_000 });
    expect(await web.queues().stats('mails', 'audit')).toMatchObject({ delayed: 1, consumers: 0, groups: ['audit'] });
    await web.stop();
    expect(await denied()).toEqual([]);
    expect(errors).toEqual([]);

    const commands = await used();
    expect(granted(rulesOf('mails-web')).filter((command) => !commands.has(command))).toEqual([]);
  });

  it('keep out of other keys, channels and administration', async () => {
    const as = (user: string, ...command: string[]): Promise<unknown> => redisCommands(server.port, [['AUTH', user, passwordOf(rulesOf(user))], command]);
    await expect(as('mails-web', 'XACK', `${SHARD}:messages`, 'audit', '1-0')).rejects.toThrow('NOPERM');
    for (const user of users.keys()) {
      await expect(as(user, 'HGET', '{queue:mails2}:queue', 'a')).rejects.toThrow('NOPERM');
      await expect(as(user, 'PUBLISH', 'news', 'a')).rejects.toThrow('NOPERM');
      await expect(as(user, 'CONFIG', 'GET', '*')).rejects.toThrow('NOPERM');
      await expect(as(user, 'FLUSHALL')).rejects.toThrow('NOPERM');
    }
  });
});
