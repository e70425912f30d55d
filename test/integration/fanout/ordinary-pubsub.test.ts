import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import type { EjectedSubscriber, RoomSubscription } from './support/engine.js';
import { gate, Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { Lockstep } from './support/lockstep.js';
import { World } from './support/world.js';

// As servers before 7.0 are, and services that leave it out.
const ORDINARY = ['SSUBSCRIBE', 'SUNSUBSCRIBE', 'SPUBLISH'].flatMap((command) => ['--rename-command', command, '']);

describe('a server without sharded pub/sub', () => {
  let server: RedisServer;
  let world: World;
  beforeAll(async () => {
    server = await startRedis({ args: ORDINARY });
    world = new World({ kind: 'standalone', server, servers: [server], stop: () => server.stop() });
  });
  afterEach(() => world.clean());
  afterAll(() => server?.stop());

  const channels = async (): Promise<string[]> => (await server.cli('PUBSUB', 'CHANNELS', '*:room:*')) as string[];
  /** Longer than any of these tests: nothing here is found by a heartbeat, or by looking at a deadline. */
  const SLOW = { session: { ttlMs: 60_000, heartbeatMs: 20_000 } };

  it('lock-step: nobody is shown a message before all have done with the one before', async () => {
    const room = world.room();
    const members = world.peers(3, {}, SLOW);
    const sender = world.peer();
    const judge = new Lockstep();
    const seen = members.map(() => new Seen());
    await Promise.all(members.map(async ({ rooms }, i) => {
      await rooms.join(room, seen[i]!.handler(async (context) => {
        judge.begin(`${i}`, context);
        if (i > 0) await sleep(i);
        judge.end(`${i}`, context);
      }));
      judge.stays(`${i}`);
    }));
    const listener = new Seen();
    await members[0]!.rooms.join(room, listener.handler(), { sync: false });
    expect(await channels()).toHaveLength(1);
    for (let n = 0; n < 100; n++) void sender.rooms.send(room, n);
    const sent = await Promise.all(Array.from({ length: 100 }, (_, n) => sender.rooms.send(room, 100 + n, { await: 'acked' })));
    expect(sent.every(({ acknowledged, ejected }) => acknowledged === 3 && ejected.length === 0)).toBe(true);
    const all = Array.from({ length: 200 }, (_, n) => n);
    for (const each of [...seen, listener]) expect(each.data).toEqual(all);
    expect(judge.violations).toEqual([]);
    expect(members.flatMap(({ errors }) => errors)).toEqual([]);
  });

  it('out of band goes by what is held; outcomes are told, not looked for', async () => {
    const room = world.room();
    const [a, sender] = world.peers(2, {}, SLOW);
    const held = gate();
    const seen = new Seen();
    await a!.rooms.join(room, seen.handler(({ outOfBand }) => (outOfBand ? undefined : held.opened)));
    await sender!.rooms.send(world.room(), 'first use');
    const outcome = sender!.rooms.send(room, 1, { await: 'acked' });
    await seen.calls(1);
    await sender!.rooms.sendOutOfBand(room, 'beside');
    await seen.calls(2);
    expect(seen.contexts.map(({ data, outOfBand }) => [data, outOfBand])).toEqual([[1, false], ['beside', true]]);
    held.open();
    expect(await outcome).toMatchObject({ acknowledged: 1, ejected: [] });
    // Asked for, each would take a second.
    const since = performance.now();
    for (let i = 0; i < 10; i++) expect(await sender!.rooms.send(room, i, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect(performance.now() - since).toBeLessThan(3_000);
  });

  it('who is ejected is told by the channel; so is everybody of a room that is removed', async () => {
    const room = world.room();
    const fanout = { ackTimeoutMs: 300, namespace: world.namespace() };
    const [a, sender] = [world.peer(fanout, SLOW), world.peer(fanout, SLOW)];
    const ejected: EjectedSubscriber[] = [];
    await a.rooms.join(room, () => new Promise(() => undefined), { ejected: (event) => ejected.push(event), whenEjected: 'leave' });
    const b = new Seen();
    await sender.rooms.join(room, b.handler(), { ejected: (event) => ejected.push(event) });
    // Late by itself.
    expect(await sender.rooms.send(room, 1, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [expect.stringContaining(a.engine.consumerName)] });
    expect(ejected).toMatchObject([{ reason: 'timeout' }]);
    // Put out by others.
    const { state } = keysOf(room, fanout);
    const session = ((await server.cli('HKEYS', state)) as string[]).find((field) => field.startsWith(`${sender.engine.consumerName}:`))!;
    await server.cli('PUBLISH', state, `e${session} 0`);
    await waitUntil(() => ejected.length === 2, { what: 'it is told' });
    expect(ejected[1]).toMatchObject({ reason: 'expired', rejoins: true });
    await sender.saw('room.joined', 2);
    await sender.rooms.remove(room);
    await waitUntil(() => ejected.length === 3, { what: 'it is told of the end' });
    expect(ejected[2]).toMatchObject({ reason: 'removed', rejoins: false });
    await waitUntil(async () => (await channels()).length === 0, { what: 'nobody listens any more' });
  });

  it('rooms are joined and left at run time, hundreds at once; each is heard, and none that was left', async () => {
    const [a, sender] = [world.peer({}, SLOW), world.peer()];
    const rooms = Array.from({ length: 500 }, () => world.room());
    const seen = new Seen();
    const joinAll = (): Promise<RoomSubscription[]> => Promise.all(rooms.map((room) => a.rooms.join(room, seen.handler())));
    const first = await joinAll();
    expect(await channels()).toHaveLength(500);
    await Promise.all(first.map((subscription) => subscription.leave()));
    await waitUntil(async () => (await channels()).length === 0, { what: 'nothing is listened to' });
    // Left and joined in one breath.
    const second = await joinAll();
    const leaving = second.map((subscription) => subscription.leave());
    await Promise.all([...leaving, joinAll()]);
    const sent = await Promise.all(rooms.map((room) => sender.rooms.send(room, room, { await: 'acked' })));
    expect(sent.every(({ acknowledged }) => acknowledged === 1)).toBe(true);
    expect([...seen.data].sort()).toEqual([...rooms].sort());
  });

  it('handlers of a pattern hear of rooms that are born', async () => {
    const fanout = { namespace: world.namespace() };
    const [a, sender] = [world.peer(fanout, SLOW), world.peer(fanout)];
    const seen = new Seen();
    a.engine.addRoomHandler({ room: 'game.*' }, { message: seen.handler() });
    await a.engine.start();
    for (let i = 0; i < 5; i++) expect(await sender.rooms.send(`game.${i}`, i, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect(seen.data).toEqual([0, 1, 2, 3, 4]);
  });

  it('the subscriber connection is killed while a message is current: it is shown once, and what comes meanwhile is fetched', async () => {
    const room = world.room();
    const [a, sender] = [world.peer({}, SLOW), world.peer({}, SLOW)];
    const seen = new Seen();
    let held = gate();
    await a.rooms.join(room, seen.handler(() => held.opened));
    for (let round = 0; round < 3; round++) {
      held = gate();
      await sender.rooms.send(room, round * 3);
      await seen.calls(round * 3 + 1);
      await server.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await sender.rooms.send(room, round * 3 + 1);
      await a.saw('connection.replaced', round + 1);
      held.open();
      expect(await sender.rooms.send(room, round * 3 + 2, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
    }
    expect(seen.data).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(seen.contexts.every(({ redelivery, attempt }) => redelivery === 0 && attempt === 1)).toBe(true);
    expect(a.all('room.ejected')).toEqual([]);
  });
});
