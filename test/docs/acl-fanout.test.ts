import { RedisStreamsEngine, type RoomSubscription } from 'nestjs-redis-streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { redisCommands } from '../support/redis-command.js';
import { type RedisServer, startRedis } from '../support/redis-server.js';
import { waitUntil } from '../support/wait.js';
import { commandsOf, granted, passwordOf, usersOfTheDocument } from './support/acl.js';

const users = usersOfTheDocument('rooms-');
const rulesOf = (user: string): string[] => users.get(user) as string[];

describe('the ACL users of docs/operations.md for rooms', () => {
  let server: RedisServer;
  const engines: RedisStreamsEngine[] = [];
  const errors: string[] = [];

  const engineOf = (user: string, consumerName?: string): RedisStreamsEngine => {
    const engine = new RedisStreamsEngine({
      connection: { url: server.url, options: { username: user, password: passwordOf(rulesOf(user)) } },
      ...(consumerName ? { consumerName } : {}),
      session: { ttlMs: 600 },
      fanout: { shards: 2, maxRedeliveries: 1, ackTimeoutMs: 700 },
      onError: (error) => void errors.push(error.message),
    });
    engines.push(engine);
    return engine;
  };
  const denied = async (): Promise<unknown> => server.cli('ACL', 'LOG');
  const used = async (): Promise<Set<string>> => commandsOf(String(await server.cli('INFO', 'commandstats')));
  /** A process that died in rooms of both shards, as a killed one leaves it. */
  const leaveDead = async (rooms: readonly string[]): Promise<void> => {
    for (const room of rooms) {
      for (const shard of [0, 1]) {
        await server.cli('ZADD', `{fanout:${shard}}:sessions`, 1, 'gone:0');
        await server.cli('HSET', `{fanout:${shard}}:members`, 'gone:0', '600');
        await server.cli('HSET', `{fanout:${shard}}:room:${room}`, 'gone:0', '0');
        await server.cli('HINCRBY', `{fanout:${shard}}:room:${room}`, 'sync', '1');
        await server.cli('SADD', `{fanout:${shard}}:rooms:gone:0`, room);
      }
    }
  };

  beforeAll(async () => {
    server = await startRedis();
    for (const [user, rules] of users) await server.cli('ACL', 'SETUSER', user, ...rules);
  });
  afterAll(async () => {
    for (const engine of engines) await engine.stop();
    await server?.stop();
  });

  it('let subscribers do everything, with nothing refused and no command granted in vain', async () => {
    await server.cli('CONFIG', 'RESETSTAT');
    const seen: string[] = [];
    const app = engineOf('rooms-app', 'app-1');
    app.addRoomHandler({ room: 'game.*' }, { message: (data) => void seen.push(String(data)) });
    await app.start();
    const second = engineOf('rooms-app', 'app-2');
    await second.start();
    const rooms = app.fanout();

    // Rooms that wait, that a pattern hears of, that are in order by priority.
    for (const data of ['c', 'a', 'b']) await rooms.send('game.1', data, { priority: data.charCodeAt(0) });
    await waitUntil(() => seen.length === 3, { what: 'the pattern has its room' });
    await second.fanout().join('game.1', () => undefined);
    expect(await rooms.send('game.1', 'd', { await: 'acked' })).toMatchObject({ acknowledged: 2, ejected: [] });
    await rooms.sendOutOfBand('game.1', 'e');
    // Messages that follow each other fast enough for acknowledgements without answers.
    await waitUntil(async () => {
      await Promise.all(Array.from({ length: 100 }, (_, i) => rooms.send('game.1', i, { await: 'acked' })));
      return (await used()).has('client|reply');
    }, { what: 'a brisk room' });

    // Who fails, and one that another has to wait for; a local subscriber that leaves with an async one beside it.
    const failing = await second.fanout().join('failing', () => Promise.reject(new Error('refused')), { onFailure: 'eject' });
    expect(await rooms.send('failing', 1, { await: 'acked' })).toMatchObject({ acknowledged: 0 });
    await failing.leave();
    let held: (() => void) | undefined;
    const listening = await second.fanout().join('mixed', () => undefined, { sync: false });
    const holding = await second.fanout().join('mixed', () => new Promise<void>((resolve) => (held = resolve)));
    const sent = rooms.send('mixed', 1, { await: 'acked' });
    await waitUntil(() => held !== undefined, { what: 'it is being handled' });
    await rooms.send('mixed', 2);
    await holding.leave();
    await rooms.state('mixed');
    await rooms.peek('mixed');
    await rooms.metrics();
    expect(await rooms.remove('mixed')).toBeGreaterThan(0);
    expect(await sent).toMatchObject({ acknowledged: 0 });
    expect(listening.active).toBe(false);

    // A member whose event loop stands still is taken out by the room; one that has died by anybody.
    await server.cli('HSET', '{fanout:0}:room:late', 'sync', '1', 'app-2:0', '0');
    await server.cli('HSET', '{fanout:1}:room:late', 'sync', '1', 'app-2:0', '0');
    const late = await rooms.join('late', () => undefined);
    expect(await rooms.send('late', 1, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: ['app-2:0'] });
    await leaveDead(['late']);
    expect(await rooms.send('late', 2, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: ['gone:0'] });
    await late.leave();

    // A cut connection: what was missed is asked for.
    const back: RoomSubscription = await rooms.join('back', () => undefined);
    await server.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
    expect(await rooms.send('back', 1, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    await back.leave();
    const heard = async (): Promise<number[]> => ((await server.cli('PUBSUB', 'NUMSUB', '{fanout:0}:bell', '{fanout:1}:bell')) as unknown[]).filter((_, i) => i % 2 === 1).map(Number);
    await waitUntil(async () => (await heard()).every((listeners) => listeners > 0), { what: 'the bells are heard again' });
    await second.stop();
    await app.stop();
    expect(await denied()).toEqual([]);
    expect(errors.filter((error) => error !== 'refused')).toEqual([]);

    const commands = await used();
    const allowed = granted(rulesOf('rooms-app'));
    expect(allowed.length).toBeGreaterThan(25);
    expect(allowed.filter((command) => !commands.has(command))).toEqual([]);
  });

  it('let senders send, wait and look, with nothing refused and no command granted in vain', async () => {
    await server.cli('SCRIPT', 'FLUSH');
    await server.cli('CONFIG', 'RESETSTAT');
    const web = engineOf('rooms-web');
    await web.start();
    const rooms = web.fanout();
    await rooms.send('empty', 1, { headers: { by: 'web' } });
    await rooms.sendOutOfBand('empty', 2);
    await leaveDead(['dead', 'quiet']);
    await rooms.state('dead');
    await rooms.metrics();
    // The room's only member is dead, and only the sender is there to see it.
    const sent = rooms.send('dead', 1, { await: 'acked' });
    await waitUntil(async () => (await rooms.peek('dead')).some(({ redelivery }) => redelivery === 1), { what: 'the message waits for somebody else' });
    // Its next one is dead as well: the message has worn out all it may.
    await leaveDead(['dead']);
    await rooms.send('dead', 2);
    expect(await sent).toMatchObject({ acknowledged: 0, ejected: ['gone:0'] });
    await web.stop();
    expect(await denied()).toEqual([]);
    expect(errors.filter((error) => error !== 'refused')).toEqual([]);

    const commands = await used();
    expect(granted(rulesOf('rooms-web')).filter((command) => !commands.has(command))).toEqual([]);
  });

  it('keep out of other keys, channels and administration', async () => {
    const as = (user: string, ...command: string[]): Promise<unknown> => redisCommands(server.port, [['AUTH', user, passwordOf(rulesOf(user))], command]);
    await expect(as('rooms-web', 'SADD', '{fanout:0}:sync:game', 'me:0')).rejects.toThrow('NOPERM');
    for (const user of users.keys()) {
      await expect(as(user, 'HGET', 'orders-input', 'a')).rejects.toThrow('NOPERM');
      await expect(as(user, 'SPUBLISH', 'news', 'a')).rejects.toThrow('NOPERM');
      await expect(as(user, 'CONFIG', 'GET', '*')).rejects.toThrow('NOPERM');
      await expect(as(user, 'FLUSHALL')).rejects.toThrow('NOPERM');
    }
  });
});
