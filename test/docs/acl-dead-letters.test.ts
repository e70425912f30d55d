import { type DeadLetters, RedisStreamsEngine } from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../support/redis-server.js';
import { waitUntil } from '../support/wait.js';
import { commandsOf, granted, passwordOf, usersOfTheDocument } from './support/acl.js';

const users = usersOfTheDocument('letters-');
const rules = users.get('letters-desk') as string[];

describe('the ACL user of docs/operations.md for dead letters', () => {
  let server: RedisServer;
  const engines: RedisStreamsEngine[] = [];
  const engineOf = (options: object): RedisStreamsEngine => {
    const engine = new RedisStreamsEngine({ session: { ttlMs: 600 }, onError: () => undefined, ...options });
    engines.push(engine);
    return engine;
  };
  beforeAll(async () => {
    server = await startRedis();
    for (const [user, list] of users) await server.cli('ACL', 'SETUSER', user, ...list);
  });
  afterAll(async () => {
    await Promise.all(engines.map((engine) => engine.stop()));
    await server?.stop();
  });

  it('looks, replays and purges with nothing refused, and no command is granted in vain', async () => {
    const no = (): never => { throw new Error('no'); };
    const app = engineOf({ connection: { url: server.url }, fanout: { maxRedeliveries: 1 } });
    app.registerStream({ name: 'payments', partitions: 2, retention: { maxEntries: 3 } });
    app.addPartitionConsumer({ stream: 'payments', group: 'ledger', retry: { maxAttempts: 1 } }, { message: no });
    app.addLeaseConsumer({ service: 'orders', maxAttempts: 1 }, { assigned: async (lease) => { await lease.checkpoint('1-0'); no(); } });
    await app.start();
    const subscription = await app.fanout().join('game', no, { onFailure: 'eject' });

    const newDesk = (): DeadLetters => engineOf({ connection: { url: server.url, options: { username: 'letters-desk', password: passwordOf(rules) } } }).deadLetters();
    const letters = newDesk();
    const sources = [{ kind: 'lease', service: 'orders' }, { kind: 'partition', stream: 'payments', group: 'ledger' }, { kind: 'fanout' }] as const;
    const all = async (): Promise<void> => {
      for (const [i, count] of [1, 3, 2].entries()) await waitUntil(async () => (await letters.count(sources[i]!)) === count, { what: `${count} letters of ${sources[i]!.kind}` });
    };
    await app.leases().announce('orders', 'order-stream-1', {});
    for (let n = 0; n < 3; n++) await app.partitions().send('payments', { partition: 0, data: n });
    for (let n = 0; n < 2; n++) await app.fanout().send('game', n);
    await all();

    await server.cli('CONFIG', 'RESETSTAT');
    for (const source of sources) {
      const { letters: [letter] } = await letters.list(source, { filter: { where: () => true } });
      expect(await letters.get(source, letter!.entryId)).toEqual(letter);
      expect((await letters.replay(source, {})).replayed).toBeGreaterThan(0);
    }
    await all();
    // As an engine that consumes meanwhile runs commands of its own, those of the desk are counted alone.
    await subscription.leave();
    await app.stop();
    // The partition is full, whatever its owner has trimmed meanwhile: a replay makes room.
    for (let n = 0; n < 3; n++) await server.cli('XADD', '{payments/0}:0', '*', 'data', String(n));
    // Somebody else's group with something pending, and somebody who is in the room.
    await server.cli('XGROUP', 'CREATE', '{payments/0}:0', 'foreign', '0');
    await server.cli('XREADGROUP', 'GROUP', 'foreign', 'f', 'COUNT', '1', 'STREAMS', '{payments/0}:0', '>');
    await server.cli('HSET', '{fanout:0}:room:game', 'sync', '1', 'somebody:1', '0');
    await server.cli('SCRIPT', 'FLUSH');
    await server.cli('CONFIG', 'RESETSTAT');
    const again = newDesk();
    for (const source of sources) {
      await again.list(source);
      await again.count(source);
      await again.replay(source, { limit: 1 });
      await again.replay(source, {});
      await again.purge(source, {});
      await again.purge(source, 'all');
    }
    const used = commandsOf(String(await server.cli('INFO', 'commandstats')));
    expect(await server.cli('ACL', 'LOG')).toEqual([]);
    expect(granted(rules).filter((command) => !used.has(command))).toEqual([]);
  });
});
