import { RedisStreamsEngine } from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { redisCommands } from '../support/redis-command.js';
import { type RedisServer, startRedis } from '../support/redis-server.js';
import { waitUntil } from '../support/wait.js';
import { commandsOf, granted, passwordOf, usersOfTheDocument } from './support/acl.js';

const users = usersOfTheDocument('orders-');
const rulesOf = (user: string): string[] => users.get(user) as string[];
const password = (user: string): string => passwordOf(rulesOf(user));

describe('the ACL users of docs/operations.md for leases', () => {
  let server: RedisServer;
  const engines: RedisStreamsEngine[] = [];

  const engineOf = (user: string, consumerName?: string): RedisStreamsEngine => {
    const engine = new RedisStreamsEngine({
      connection: { url: server.url, options: { username: user, password: password(user) } },
      ...(consumerName ? { consumerName } : {}),
      session: { ttlMs: 600 },
    });
    engines.push(engine);
    return engine;
  };
  const denied = async (): Promise<unknown> => server.cli('ACL', 'LOG');

  beforeAll(async () => {
    server = await startRedis();
    for (const [user, rules] of users) await server.cli('ACL', 'SETUSER', user, ...rules);
    await server.cli('CONFIG', 'RESETSTAT');
  });
  afterAll(async () => {
    for (const engine of engines) await engine.stop();
    await server?.stop();
  });

  it('let consumers and announcers do everything, with nothing refused', async () => {
    // Streams of a dead owner, and a session that died: as a killed process leaves them.
    await server.cli('XADD', 'orders-input', '*', 'lbs-input', '{"DataStreamName":"order-stream-0","Info":{"end":true}}');
    await server.cli('XGROUP', 'CREATE', 'orders-input', 'orders-group', '0');
    await server.cli('XREADGROUP', 'GROUP', 'orders-group', 'gone:1', 'COUNT', '1', 'STREAMS', 'orders-input', '>');
    await server.cli('ZADD', '{orders-input}:sessions', '1', 'gone:1');

    const done: string[] = [];
    const app = engineOf('orders-app', 'orders-1');
    app.events.on('lease.completed', ({ stream }) => void done.push(stream));
    app.addLeaseConsumer({ service: 'orders', maxAttempts: 2, backoff: { initialMs: 20 }, handOver: true }, {
      assigned: async (lease) => {
        if (lease.info['fail']) throw new Error('refused');
        if (lease.info['end']) return;
        for await (const { id } of lease.entries({ idleMs: 100 })) await lease.checkpoint(id);
      },
    });
    await app.start();

    const web = engineOf('orders-web');
    const leases = web.leases();
    await server.cli('XADD', 'order-stream-1', '*', 'item', 'book');
    await leases.announce('orders', 'order-stream-1', {});
    await leases.announce('orders', 'order-stream-1', {}, { dedupe: 'open' });
    await leases.announce('orders', 'order-stream-1', {}, { dedupe: 'off' });
    await leases.announce('orders', 'order-stream-2', { fail: true });
    await redisCommands(server.port, [
      ['AUTH', 'orders-producer', password('orders-producer')],
      ['XADD', 'order-stream-3', '*', 'item', 'pen'],
      ['XADD', 'orders-input', '*', 'lbs-input', '{"DataStreamName":"order-stream-3"}'],
      ['XADD', 'orders-input', '*', 'lbs-input', '{broken'],
    ]);
    await waitUntil(() => ['order-stream-0', 'order-stream-1', 'order-stream-3'].every((stream) => done.includes(stream)), { what: 'all good streams are done' });
    await waitUntil(async () => (await leases.deadLetters('orders')).length === 2, { what: 'both bad ones are dead letters' });
    await leases.stats('orders');
    await leases.list('orders');

    // Manual claims, of a second process; it also finds the group gone, and an entry it does not know of.
    const manual = engineOf('orders-app', 'orders-2');
    const claimed: string[] = [];
    manual.addLeaseConsumer({ service: 'orders', claim: 'manual', settle: 'manual' }, {
      assigned: (lease) => void claimed.push(lease.stream),
      expired: (event) => event.claim(),
    });
    await app.stop();
    await manual.start();
    await server.cli('XADD', 'orders-input', '*', 'lbs-input', '{"DataStreamName":"order-stream-4"}');
    await waitUntil(() => claimed.includes('order-stream-4'), { what: 'the second process holds the stream' });
    const record = String(await server.cli('HGET', '{orders-input}:leases', 'order-stream-4'));
    await server.cli('HSET', '{orders-input}:leases', 'order-stream-5', record.replace(/^(\S+) (\S+) (\S+)/, (_, id: string, token: string) => `${id} ${token} gone:2`));
    await expect(manual.leases().claim('orders', 'order-stream-4')).rejects.toMatchObject({ code: 'ALREADY_CLAIMED' });
    await manual.leases().claim('orders', 'order-stream-5');
    const held = manual.leases().held('orders').find(({ stream }) => stream === 'order-stream-4');
    await held?.release();
    await server.cli('XGROUP', 'DESTROY', 'orders-input', 'orders-group');
    await waitUntil(async () => String(await server.cli('XINFO', 'GROUPS', 'orders-input')).includes('orders-group'), { what: 'the group is there again' });
    await manual.stop();
    await web.stop();
    expect(await denied()).toEqual([]);
  });

  it('allow no command that was not used', async () => {
    const used = commandsOf(String(await server.cli('INFO', 'commandstats')));
    const allowed = granted(rulesOf('orders-app'));
    expect(allowed.length).toBeGreaterThan(20);
    expect(allowed.filter((command) => !used.has(command))).toEqual([]);
  });

  it('keep out of other services, other keys and administration', async () => {
    const as = (user: string, ...command: string[]): Promise<unknown> => redisCommands(server.port, [['AUTH', user, password(user)], command]);
    for (const user of ['orders-app', 'orders-web', 'orders-producer']) {
      await expect(as(user, 'XADD', 'billing-input', '*', 'a', 'b')).rejects.toThrow('NOPERM');
      await expect(as(user, 'CONFIG', 'GET', '*')).rejects.toThrow('NOPERM');
      await expect(as(user, 'FLUSHALL')).rejects.toThrow('NOPERM');
    }
    await expect(as('orders-app', 'XADD', 'order-stream-9', '*', 'a', 'b')).rejects.toThrow('NOPERM');
    await expect(as('orders-producer', 'XRANGE', 'orders-input', '-', '+')).rejects.toThrow('NOPERM');
  });
});
