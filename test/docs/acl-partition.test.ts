import { type PartitionClient, RedisStreamsEngine } from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { redisCommands } from '../support/redis-command.js';
import { type RedisServer, startRedis } from '../support/redis-server.js';
import { waitUntil } from '../support/wait.js';
import { commandsOf, granted, passwordOf, usersOfTheDocument } from './support/acl.js';

const users = usersOfTheDocument('payments-');
const rulesOf = (user: string): string[] => users.get(user) as string[];
const ledger = { stream: 'payments', group: 'ledger' };

describe('the ACL users of docs/operations.md for partitions', () => {
  let server: RedisServer;
  const engines: RedisStreamsEngine[] = [];

  /** With a `consumerName`, as the document's processes with handlers have; without, one that only sends and looks. */
  const engineOf = (user: string, consumerName?: string): RedisStreamsEngine => {
    const engine = new RedisStreamsEngine({
      connection: { url: server.url, options: { username: user, password: passwordOf(rulesOf(user)) } },
      ...(consumerName ? { consumerName } : {}),
      session: { ttlMs: 600 },
    });
    // All that a stream's registration can ask of the server: a bound that is reached, and room made by dropping.
    engine.registerStream({ name: 'payments', partitions: 4, shards: 2, retention: { maxEntries: 200, whenFull: 'drop-oldest' } });
    engines.push(engine);
    return engine;
  };
  const denied = async (): Promise<unknown> => server.cli('ACL', 'LOG');
  const caughtUp = (client: PartitionClient): Promise<unknown> =>
    waitUntil(async () => (await client.lag(ledger)).every(({ size, lag, position }) => position !== undefined && (lag === 0 || size === 0)), { what: 'the group has handled everything' });

  beforeAll(async () => {
    server = await startRedis();
    for (const [user, rules] of users) await server.cli('ACL', 'SETUSER', user, ...rules);
  });
  afterAll(async () => {
    for (const engine of engines) await engine.stop();
    await server?.stop();
  });

  it('let consumers do everything, with nothing refused and no command granted in vain', async () => {
    await server.cli('CONFIG', 'RESETSTAT');
    const handled: string[] = [];
    const consumerOf = (name: string): RedisStreamsEngine => {
      const engine = engineOf('payments-app', name);
      engine.addPartitionConsumer({ ...ledger, retry: { maxAttempts: 2, initialMs: 10 } }, {
        message: (data, { id }) => {
          if (data === 'fail') throw new Error('refused');
          handled.push(id);
        },
      });
      return engine;
    };
    // Another program's group holds a message: it is asked about before anything is trimmed.
    await server.cli('XADD', '{payments/0}:0', '*', 'data', '"theirs"');
    await server.cli('XGROUP', 'CREATE', '{payments/0}:0', 'other', '0');
    await server.cli('XREADGROUP', 'GROUP', 'other', 'c', 'STREAMS', '{payments/0}:0', '>');

    const first = consumerOf('app-1');
    await first.start();
    const client = first.partitions();
    const sent = await client.sendMany('payments', Array.from({ length: 600 }, (_, i) => ({ key: `k${i % 40}`, data: i })));
    await client.send('payments', { key: 'k1', data: 'fail' });
    await waitUntil(async () => (await client.deadLetters(ledger)).length === 1, { what: 'the failing message is a dead letter' });
    await caughtUp(client);

    // Joining, moving, leaving; a process that has died.
    const second = consumerOf('app-2');
    await second.start();
    await waitUntil(async () => (await client.assignment(ledger)).settled, { what: 'both have their share' });
    await second.stop();
    await server.cli('HSET', '{payments#ledger}:roster', 'app-3', 'app-3:0');
    await server.cli('HSET', '{payments#ledger}:members', 'app-3:0', 'app-3');
    await server.cli('ZADD', '{payments#ledger}:sessions', 1, 'app-3:0');
    await waitUntil(async () => (await client.members(ledger)).length === 1, { what: 'the dead one is gone' });

    await client.pause(ledger, [0]);
    await client.resume(ledger, [0]);
    const before = handled.length;
    await client.seek(ledger, 'latest', [1]);
    await client.seek(ledger, 'earliest', [0]); // where the other program's group keeps them
    await client.seek(ledger, sent.at(-1)!.id, [sent.at(-1)!.partition]);
    await waitUntil(() => handled.length > before, { what: 'messages are handled again' });
    await client.lag(ledger);
    await client.sizes('payments');

    // A partition and its group deleted by hand come back.
    await server.cli('DEL', '{payments/1}:1');
    await client.send('payments', { data: 'again', partition: 1 });
    await caughtUp(client);
    await first.stop();
    expect(await denied()).toEqual([]);

    const used = commandsOf(String(await server.cli('INFO', 'commandstats')));
    const allowed = granted(rulesOf('payments-app'));
    expect(allowed.length).toBeGreaterThan(20);
    expect(allowed.filter((command) => !used.has(command))).toEqual([]);
  });

  it('let senders send and look, with nothing refused and no command granted in vain', async () => {
    await server.cli('CONFIG', 'RESETSTAT');
    await server.cli('SCRIPT', 'FLUSH');
    // Nobody consumes: partitions fill up, and drop.
    const web = engineOf('payments-web');
    const dropped: number[] = [];
    web.events.on('partition.dropped', ({ messages }) => void dropped.push(messages));
    await web.start();
    const client = web.partitions();
    await client.sendMany('payments', Array.from({ length: 1_200 }, (_, i) => ({ key: `k${i % 40}`, data: i, headers: { n: String(i) } })));
    expect(dropped.length).toBeGreaterThan(0);
    await client.assignment(ledger);
    await client.lag(ledger);
    await client.deadLetters(ledger);
    await web.stop();
    expect(await denied()).toEqual([]);

    const used = commandsOf(String(await server.cli('INFO', 'commandstats')));
    expect(granted(rulesOf('payments-web')).filter((command) => !used.has(command))).toEqual([]);
    for (const command of ['pause', 'seek'] as const) {
      const refused = engineOf('payments-web').partitions();
      await expect(command === 'pause' ? refused.pause(ledger) : refused.seek(ledger, 'latest')).rejects.toThrow(/NOPERM|can't run this command/);
    }
  });

  it('keep out of other streams and administration', async () => {
    const as = (user: string, ...command: string[]): Promise<unknown> => redisCommands(server.port, [['AUTH', user, passwordOf(rulesOf(user))], command]);
    for (const user of ['payments-app', 'payments-web']) {
      await expect(as(user, 'XADD', '{invoices/0}:0', '*', 'a', 'b')).rejects.toThrow('NOPERM');
      await expect(as(user, 'CONFIG', 'GET', '*')).rejects.toThrow('NOPERM');
      await expect(as(user, 'FLUSHALL')).rejects.toThrow('NOPERM');
      await expect(as(user, 'XGROUP', 'DESTROY', '{payments/0}:0', 'ledger')).rejects.toThrow('NOPERM');
    }
  });
});
