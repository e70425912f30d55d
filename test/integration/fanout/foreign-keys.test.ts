import { expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { gate, Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { BOTH, onTopologies, type World } from './support/world.js';

/** Puts a string in the place of a room's key, as another program may. */
async function spoil(world: World, key: string): Promise<void> {
  await world.cli(['DEL', key]);
  await world.cli(['SET', key, 'of another program']);
}

onTopologies(BOTH, 'a room one of whose keys is something else', (world) => {
  for (const part of ['state', 'backlog'] as const) {
    it(`${part}: does not hold up that the late of others are ejected, and is told of`, async () => {
      const fanout = { namespace: world().namespace(), shards: 1 };
      const told: Array<{ message: string; room: string | undefined }> = [];
      const peer = world().peer(fanout, { session: { ttlMs: 600 }, onError: ({ message }, { room }) => void told.push({ message, room }) });
      await peer.rooms.join('steady', () => undefined);
      const rooms = Array.from({ length: 20 }, (_, i) => `late${i}`);
      const { tag } = keysOf('', fanout);
      // As a process leaves them that has its session and does not answer.
      for (const room of rooms) {
        const { state } = keysOf(room, fanout);
        await world().cli(['HSET', state, 'number', 1, 'turn', 5, 'left', 1, 'due', 1, 'until', 1_000, 'text', 'm5 0 1 0 - 1000 "x"', 'sync', 1, 'async', 0, 'ghost:1', 0]);
      }
      const bad = rooms[7]!;
      await spoil(world(), keysOf(bad, fanout)[part]);
      for (const room of rooms) await world().cli(['ZADD', `${tag}:current`, 1_000, room]);
      const others = rooms.filter((room) => room !== bad);
      await waitUntil(async () => (await Promise.all(others.map((room) => peer.rooms.state(room)))).every(({ current, backlog, members }) => current === undefined && backlog === 1 && members.length === 0), {
        what: 'the late are out, and their messages wait for others', timeoutMs: 5_000,
      });
      expect(peer.all('room.expelled').map(({ room }) => room).sort()).toEqual(others.sort());
      await waitUntil(() => told.length > 0, { what: 'it is told' });
      expect(told[0]).toEqual({ room: bad, message: expect.stringContaining(keysOf(bad, fanout)[part]) as string });
    });

    it(`${part}: sends, joins, acknowledgements and leaves of others in the same call go through`, async () => {
      const fanout = { namespace: world().namespace(), shards: 1 };
      const more = { session: { ttlMs: 600 } };
      const [a, b] = [world().peer(fanout, more), world().peer(fanout, more)];
      const rooms = Array.from({ length: 20 }, (_, i) => `room${i}`);
      const [seen, bad] = [new Seen(), rooms[7]!];
      const others = rooms.filter((room) => room !== bad);
      await spoil(world(), keysOf(bad, fanout)[part]);
      const joining = rooms.map((room) => a.rooms.join(room, seen.handler()));
      void joining[7]!.catch(() => undefined);
      await Promise.all(joining.filter((_, i) => i !== 7));
      const sent = await Promise.allSettled(rooms.map((room) => b.rooms.send(room, room)));
      expect(sent.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []))).toEqual([7]);
      expect((sent[7] as PromiseRejectedResult).reason).toMatchObject({ code: 'CONNECTION', message: expect.stringContaining('WRONGTYPE') as string });
      await seen.calls(19);
      expect([...seen.data].sort()).toEqual([...others].sort());
      await Promise.all(rooms.map((room) => a.rooms.leave(room)));
      for (const room of others) expect((await b.rooms.state(room)).members).toEqual([]);
      // What a dead session was in is not looked for for ever.
      await a.engine.stop();
      expect(await world().cli(['ZCARD', keysOf('', fanout).sessions])).toBe(0);
    });

    it(`${part}: letters of others that are replayed with its own go back, and its own stays`, async () => {
      const fanout = { namespace: world().namespace(), shards: 1 };
      const [a, desk] = [world().peer(fanout), world().peer(fanout)];
      const rooms = Array.from({ length: 20 }, (_, i) => `room${i}`);
      const [seen, bad] = [new Seen(), rooms[7]!];
      const others = rooms.filter((room) => room !== bad);
      await Promise.all(others.map((room) => a.rooms.join(room, seen.handler())));
      for (const room of rooms) {
        await world().cli(['XADD', keysOf('', fanout).dead, '*', 'reason', 'all-ejected', 'room', room, 'id', 1, 'priority', 0, 'sent', 1, 'tries', 2, 'who', 'x:1', 'entry', JSON.stringify(room)]);
      }
      await spoil(world(), keysOf(bad, fanout)[part]);
      const letters = desk.engine.deadLetters();
      const { replayed, skipped } = await letters.replay({ kind: 'fanout' }, {});
      expect([replayed, skipped]).toEqual([19, [{ entryId: expect.any(String), reason: 'unusable' }]]);
      await seen.calls(19);
      expect([...seen.data].sort()).toEqual([...others].sort());
      const left = await letters.list({ kind: 'fanout' });
      expect(left.letters.map(({ entryId, key }) => [entryId, key])).toEqual([[skipped[0]!.entryId, bad]]);
      // Mended, it takes what is its own.
      await world().cli(['DEL', keysOf(bad, fanout)[part]]);
      await a.rooms.join(bad, seen.handler());
      expect(await letters.replay({ kind: 'fanout' }, {})).toEqual({ replayed: 1, skipped: [] });
      await seen.calls(20);
      expect(seen.last.data).toBe(bad);
    });

    it(`${part}: to remove it is refused, with the key, and changes nothing`, async () => {
      const fanout = { namespace: world().namespace(), shards: 1 };
      const desk = world().peer(fanout);
      const { [part]: key, rooms, backlog } = keysOf('room', fanout);
      await desk.rooms.send('room', 1);
      await spoil(world(), key);
      const error = await failure(desk.rooms.remove('room'));
      expect(error).toMatchObject({ code: 'CONNECTION', message: expect.stringContaining(`WRONGTYPE the key "${key}"`) as string });
      expect(await world().cli(['GET', key])).toBe('of another program');
      expect(await world().cli(['ZCARD', rooms])).toBe(1);
      await world().cli(['DEL', key]);
      expect(await desk.rooms.remove('room')).toBe(key === backlog ? 0 : 1);
      expect(await world().cli(['ZCARD', rooms])).toBe(0);
    });
  }

  it('spoilt while its message is current: acknowledgements said in one call with its own are taken', async () => {
    const fanout = { namespace: world().namespace(), shards: 1 };
    const [a, b] = [world().peer(fanout), world().peer(fanout)];
    const rooms = Array.from({ length: 20 }, (_, i) => `room${i}`);
    const [seen, bad, held] = [new Seen(), rooms[7]!, gate()];
    await Promise.all(rooms.map((room) => a.rooms.join(room, seen.handler(() => held.opened))));
    const outcomes = rooms.map((room) => b.rooms.send(room, room, { await: 'acked' }));
    void outcomes[7]!.catch(() => undefined);
    await seen.calls(20);
    await spoil(world(), keysOf(bad, fanout).state);
    held.open();
    const acked = await Promise.all(outcomes.filter((_, i) => i !== 7));
    expect(acked.every(({ acknowledged, ejected }) => acknowledged === 1 && ejected.length === 0)).toBe(true);
    expect(seen.data).toHaveLength(20);
  });

  it('outcomes spoilt: they are told all the same, and nothing is stored twice', async () => {
    const fanout = { namespace: world().namespace(), shards: 1 };
    const [a, b] = [world().peer(fanout), world().peer(fanout)];
    const seen = new Seen();
    await a.rooms.join('room', seen.handler());
    // From then on it listens, and need not look for what it missed.
    await b.rooms.send('room', 'first', { await: 'acked' });
    await spoil(world(), keysOf('room', fanout).outcomes);
    for (let i = 0; i < 5; i++) expect(await b.rooms.send('room', i, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect(seen.data).toEqual(['first', 0, 1, 2, 3, 4]);
    expect(await world().cli(['TTL', keysOf('room', fanout).outcomes])).toBe(-1);
  });
});

onTopologies(['standalone'], 'a room whose outcomes are something else, and a word of them that was missed', (world) => {
  it('who waits for it is told that nobody can know it; who waits for others, or for what is not over, hears of it', async () => {
    const fanout = { namespace: world().namespace(), shards: 1 };
    const { topology } = world();
    const port = topology.kind === 'standalone' ? topology.server.port : 0;
    const proxy = await startProxy(port);
    world().onEnd(() => proxy.stop());
    const told: Array<{ message: string; room: string | undefined }> = [];
    const [a, sender] = [world().peer(fanout), world().peer(fanout, { connection: { url: proxy.url }, onError: ({ message }, { room }) => void (room !== undefined && told.push({ message, room })) })];
    const [held, later] = [gate(), gate()];
    const seen = new Seen();
    const rooms = ['bad', 'slow', 'sound'] as const;
    for (const room of rooms) await a.rooms.join(room, seen.handler(() => (room === 'slow' ? later : held).opened));
    // Of the sound one that is asked for last, the word is missed too.
    const [bad, slow, sound] = rooms.map((room) => sender.rooms.send(room, room, { await: 'acked' }));
    const refused = failure(bad!);
    await seen.calls(3);
    for (const room of ['bad', 'slow']) await spoil(world(), keysOf(room, fanout).outcomes);
    await proxy.stop();
    held.open();
    for (const room of ['bad', 'sound']) await a.idle(room);
    const again = await startProxy(port, { port: proxy.port });
    world().onEnd(() => again.stop());
    expect(await sound).toMatchObject({ acknowledged: 1, ejected: [] });
    expect(await refused).toMatchObject({ code: 'CONNECTION', message: expect.stringContaining(`WRONGTYPE the key "${keysOf('bad', fanout).outcomes}"`) as string });
    const listens = (command: string): Promise<unknown> => world().cli(['PUBSUB', command, `${keysOf('', fanout).tag}:acked:*`]);
    await waitUntil(async () => [await listens('SHARDCHANNELS'), await listens('CHANNELS')].flat().length === 1, { what: 'it hears again' });
    later.open();
    expect(await slow).toMatchObject({ acknowledged: 1, ejected: [] });
    // Once for each, however often it is looked for.
    expect(told.map(({ room }) => room).sort()).toEqual(['bad', 'slow']);
    for (const { message, room } of told) expect(message).toContain(keysOf(room!, fanout).outcomes);
    expect(seen.data).toHaveLength(3);
  });
});
