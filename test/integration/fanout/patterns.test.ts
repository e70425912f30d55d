import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'handlers of a pattern', (world) => {
  it('are in every room that it fits, over all shards: those that are there, and each that is born later', async () => {
    const fanout = { namespace: world().namespace(), shards: 4 };
    const [sender, a] = [world().peer(fanout), world().peer(fanout)];
    const [stars, expression, one] = [new Seen(), new Seen(), new Seen()];
    const joined: string[] = [];
    a.engine.addRoomHandler({ room: 'game.*.ticks' }, { message: stars.handler(), joined: ({ room }) => joined.push(room) });
    a.engine.addRoomHandler({ room: /^game\.\d+\.ticks$/g }, { message: expression.handler() });
    a.engine.addRoomHandler({ room: 'game.1.ticks' }, { message: one.handler() });
    const rooms = Array.from({ length: 12 }, (_, i) => `game.${i}.ticks`);
    await Promise.all(rooms.slice(0, 6).map((room) => sender.rooms.send(room, 'before')));
    await Promise.all(['game.x.ticks', 'game.1.tick', 'xgame.1.ticks', 'game.ticks'].map((room) => sender.rooms.send(room, 'no')));
    await a.engine.start();
    const outcomes = await Promise.all([...rooms, 'game.x.ticks'].map((room) => sender.rooms.send(room, 'after', { await: 'acked' })));
    expect(outcomes.every(({ acknowledged }) => acknowledged === 1)).toBe(true);
    const roomsOf = (seen: Seen, data: string): string[] => [...new Set(seen.contexts.filter((context) => context.data === data).map(({ room }) => room))].sort();
    expect(roomsOf(stars, 'after')).toEqual([...rooms, 'game.x.ticks'].sort());
    await waitUntil(() => roomsOf(expression, 'after').length === 12, { what: 'the expression\'s handler is in all its rooms' }).catch(() => undefined);
    expect([...joined].sort()).toEqual([...rooms, 'game.x.ticks'].sort());
    expect([...roomsOf(one, 'before'), ...roomsOf(one, 'after')]).toEqual(['game.1.ticks', 'game.1.ticks']);
    expect((await sender.rooms.state('game.1.tick')).backlog).toBe(1);
    expect((await sender.rooms.state('game.ticks')).members).toEqual([]);
    expect(stars.contexts.filter(({ data }) => data === 'no').map(({ room }) => room)).toEqual(['game.x.ticks']);
  });

  it('come back when a room is removed and born again', async () => {
    const fanout = { namespace: world().namespace() };
    const [sender, a] = [world().peer(fanout), world().peer(fanout)];
    const seen = new Seen();
    a.engine.addRoomHandler({ room: '*' }, { message: seen.handler() });
    await a.engine.start();
    for (let i = 0; i < 3; i++) {
      expect(await sender.rooms.send('again', i, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
      await sender.rooms.remove('again');
      await waitUntil(async () => a.all('room.ejected').length === i + 1, { what: 'it was told' });
    }
    expect(seen.data).toEqual([0, 1, 2]);
  });

  it('come back when they hear of the birth before they hear of the removal', async () => {
    const namespace = world().namespace();
    const a = world().peer({ namespace, shards: 1 });
    const sender = world().peer({ namespace, shards: 1 });
    const seen = new Seen();
    a.engine.addRoomHandler({ room: 'late.*' }, { message: seen.handler() });
    await a.engine.start();
    await sender.rooms.send('late.1', 'before', { await: 'acked' });
    // The word of it is still under way.
    const keys = keysOf('late.1', { namespace });
    const members = (await sender.rooms.state('late.1')).members.map(({ session }) => session);
    await world().cli(['DEL', keys.state]);
    await world().cli(['ZREM', keys.rooms, 'late.1']);
    for (const session of members) await world().cli(['DEL', `${keys.tag}:rooms:${session}`]);
    await sender.rooms.send('late.1', 'after');
    // By then it has heard of births: of that one too.
    await sender.rooms.send('late.2', 'another', { await: 'acked' });
    await world().cli(['SPUBLISH', keys.state, 'x']);
    await seen.calls(3);
    expect(seen.data).toEqual(['before', 'another', 'after']);
  });

  it('need no word of a birth: a heartbeat finds it', async () => {
    const fanout = { namespace: world().namespace(), shards: 1 };
    const [sender, a] = [world().peer(fanout), world().peer(fanout, { session: { ttlMs: 600 } })];
    const seen = new Seen();
    a.engine.addRoomHandler({ room: 'b*' }, { message: seen.handler() });
    await a.engine.start();
    await world().everywhere('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await Promise.all(Array.from({ length: 5 }, (_, i) => sender.rooms.send(`b${i}`, i)));
    await seen.calls(5);
    expect([...seen.data].sort()).toEqual([0, 1, 2, 3, 4]);
  });
});
