import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { gate, Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { onTopologies } from './support/world.js';

const QUICK = { session: { ttlMs: 600 } };

onTopologies(['standalone'], 'a server that forgets', (world) => {
  it('FLUSHALL: whoever was in a room is in it again; what is sent then is delivered, and shards are agreed on again', async () => {
    const fanout = { shards: 2, namespace: world().namespace() };
    const [sender, a, b] = [world().peer(fanout, QUICK), world().peer(fanout, QUICK), world().peer(fanout, QUICK)];
    const rooms = Array.from({ length: 4 }, () => world().room());
    const seen = new Seen();
    await Promise.all([...rooms.map((room) => a.rooms.join(room, seen.handler())), ...rooms.map((room) => b.rooms.join(room, () => undefined, { sync: false }))]);
    for (let round = 0; round < 2; round++) {
      await Promise.all(rooms.map((room) => sender.rooms.send(room, round, { await: 'acked' })));
      await world().cli(['FLUSHALL'], 'x');
      await waitUntil(async () => (await Promise.all(rooms.map((room) => sender.rooms.state(room)))).every(({ members }) => members.length === 2), { what: 'all are back', timeoutMs: 5_000 });
    }
    expect((await Promise.all(rooms.map((room) => sender.rooms.send(room, 2, { await: 'acked' })))).every(({ acknowledged }) => acknowledged === 1)).toBe(true);
    for (const room of rooms) expect(seen.contexts.filter((context) => context.room === room).map(({ data }) => data)).toEqual([0, 1, 2]);
    expect(a.all('session.lost').length).toBeGreaterThan(0);
    // Who comes now with another number of shards must not be taken for the first.
    await waitUntil(async () => Number(await world().cli(['EXISTS', keysOf('', fanout).registration])) === 1, { what: 'it is known again how many there are' });
    expect(await failure(world().peer({ ...fanout, shards: 3 }).rooms.send(rooms[0]!, 'x'))).toMatchObject({ code: 'FANOUT_MISMATCH' });
  });

  it('SCRIPT FLUSH: nobody notices', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const seen = new Seen();
    await a.rooms.join(room, seen.handler());
    for (let i = 0; i < 5; i++) {
      await world().cli(['SCRIPT', 'FLUSH'], 'x');
      expect(await sender.rooms.send(room, i, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    }
    expect(seen.data).toEqual([0, 1, 2, 3, 4]);
  });
}, { own: true });

onTopologies(['standalone'], 'a server that goes away', (world) => {
  const server = () => {
    const { topology } = world();
    if (topology.kind !== 'standalone') throw new Error('one server only');
    return topology.server;
  };

  it('a restart that kept its data: the room goes on, nothing accepted is lost, order holds', async () => {
    const [sender, a, b] = [world().peer(), world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    const [seenA, seenB] = [new Seen(), new Seen()];
    await a.rooms.join(room, seenA.handler((_, n) => (n === 1 ? held.opened : undefined)));
    await b.rooms.join(room, seenB.handler());
    for (let i = 0; i < 5; i++) await sender.rooms.send(room, i);
    await seenA.calls(1);
    await server().restart();
    held.open();
    await Promise.all(Array.from({ length: 5 }, (_, i) => sender.rooms.send(room, 5 + i)));
    const distinct = (seen: Seen): unknown[] => [...new Set(seen.data)];
    await waitUntil(() => distinct(seenA).length === 10 && distinct(seenB).length === 10, { what: 'both have seen all', timeoutMs: 15_000 });
    expect([distinct(seenA), distinct(seenB)]).toEqual([Array.from({ length: 10 }, (_, i) => i), Array.from({ length: 10 }, (_, i) => i)]);
    await sender.idle(room);
  });

  it('a start while it is away waits for it; so does what is sent and joined meanwhile', async () => {
    await server().kill();
    const [a, sender] = [world().peer({}, QUICK), world().peer({}, { commandTimeoutMs: 500 })];
    const [room, other] = [world().room(), world().room()];
    const [seen, seenOther] = [new Seen(), new Seen()];
    a.engine.addRoomHandler({ room }, { message: seen.handler() });
    const started = a.engine.start();
    const sent = sender.rooms.send(room, 1, { await: 'acked' });
    const joined = sender.rooms.join(other, seenOther.handler());
    await a.saw('connection.error');
    await server().restart();
    await started;
    await joined;
    expect(await sent).toMatchObject({ acknowledged: 1 });
    expect(await a.rooms.send(other, 2, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
  });

  it('a stop while it is away is bounded, whatever is under way', async () => {
    const more = { shutdown: { drainMs: 200 }, commandTimeoutMs: 400, session: { ttlMs: 5_000 } };
    const [a, fresh] = [world().peer({}, more), world().peer({}, more)];
    const room = world().room();
    const held = gate();
    const seen = new Seen();
    await a.rooms.join(room, seen.handler(() => held.opened));
    const awaited = failure(a.rooms.send(room, 1, { await: 'acked' }));
    await seen.calls(1);
    await server().kill();
    const pending = [
      a.rooms.send(room, 2), a.rooms.send(room, 3, { await: 'acked' }), a.rooms.join(world().room(), () => undefined), fresh.rooms.join(room, () => undefined), fresh.rooms.send(room, 4), fresh.rooms.send(room, 5, { await: 'acked' }),
    ].map((each) => failure(each));
    held.open();
    const since = performance.now();
    await Promise.all([a.engine.stop(), fresh.engine.stop()]);
    expect(performance.now() - since).toBeLessThan(4_000);
    for (const error of await Promise.all([awaited, ...pending])) expect(`${(error as { code?: string }).code} ${error.message}`).toMatch(/^(CLOSED|CONNECTION|COMMAND_TIMEOUT) /);
    await server().restart();
  });
}, { own: true });
