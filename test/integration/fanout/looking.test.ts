import { expect, it } from 'vitest';
import { failure } from '../support/failure.js';
import { waitUntil } from '../../support/wait.js';
import { type FanoutClient, type InvalidOptionsError, RedisStreamsEngine } from './support/engine.js';
import { gate, Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { storeOf } from './support/store.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'looking at rooms', (world) => {
  it('peek and state show what waits, what is current, who is in, and who owes', async () => {
    const [sender, a, b, c] = [world().peer(), ...world().peers(3)];
    const room = world().room();
    expect(await sender.rooms.state(room)).toEqual({ room, backlog: 0, current: undefined, members: [], owing: [] });
    expect(await sender.rooms.peek(room)).toEqual([]);
    const held = gate();
    const [seen, other] = [new Seen(), new Seen()];
    await a!.rooms.join(room, seen.handler(() => held.opened));
    await b!.rooms.join(room, other.handler());
    await c!.rooms.join(room, () => undefined, { sync: false });
    const before = Date.now();
    const { id } = await sender.rooms.send(room, { n: 0 }, { headers: { k: 'v' }, priority: 2 });
    for (let n = 1; n <= 5; n++) await sender.rooms.send(room, { n }, { priority: 10 - n });
    const state = await sender.sees(room, 'one owes', ({ owing }) => owing.length === 1);
    expect(state).toMatchObject({ room, backlog: 5, current: { id, data: { n: 0 }, headers: { k: 'v' }, priority: 2, redelivery: 0 } });
    expect(Math.abs(state.current!.sentAt - before)).toBeLessThan(5_000);
    expect(state.current!.deadline - state.current!.sentAt).toBeGreaterThanOrEqual(30_000);
    expect(state.current!.deadline - state.current!.sentAt).toBeLessThan(35_000);
    expect(state.members.map(({ sync, owes }) => [sync, owes]).sort()).toEqual([[false, false], [true, false], [true, true]].sort());
    expect(state.members.every(({ lastSeen }) => lastSeen !== undefined && Math.abs(lastSeen - Date.now()) < 5_000)).toBe(true);
    expect(state.owing).toEqual(state.members.filter(({ owes }) => owes).map(({ session }) => session));
    expect((await sender.rooms.peek(room)).map(({ data }) => data)).toEqual([5, 4, 3, 2, 1].map((n) => ({ n })));
    expect((await sender.rooms.peek(room, 1, 2)).map(({ data }) => data)).toEqual([{ n: 4 }, { n: 3 }]);
    expect(await sender.rooms.peek(room, 5, 10)).toEqual([]);
    expect(await sender.rooms.peek(room, 0, 0)).toEqual([]);
    held.open();
    await sender.idle(room);
    expect(seen.data).toEqual([0, 5, 4, 3, 2, 1].map((n) => ({ n })));
    expect(seen.ids).toEqual(other.ids);
  });

  it('metrics: rooms there are and rooms subscribed to, messages, latency, and the fullest rooms', async () => {
    const namespace = world().namespace();
    const [sender, a] = [world().peer({ namespace }), world().peer({ namespace })];
    const rooms = Array.from({ length: 6 }, () => world().room());
    expect(await sender.rooms.metrics()).toEqual({ rooms: 0, subscribedRooms: 0, subscribers: 0, received: 0, invalid: 0, latencyMs: undefined, topRooms: [] });
    const seen = new Seen();
    await a.rooms.join(rooms[0]!, seen.handler());
    await a.rooms.join(rooms[0]!, () => undefined);
    for (let i = 0; i < 20; i++) await sender.rooms.send(rooms[0]!, i, { await: 'acked' });
    for (let i = 1; i < 6; i++) await Promise.all(Array.from({ length: i * 3 }, () => sender.rooms.send(rooms[i]!, i)));
    const { latencyMs, ...counts } = await a.rooms.metrics({ topRooms: 3 });
    expect(counts).toEqual({ rooms: 6, subscribedRooms: 1, subscribers: 2, received: 20, invalid: 0, topRooms: [5, 4, 3].map((i) => ({ room: rooms[i]!, backlog: i * 3 })) });
    const { min, p50, mean, p99, max } = latencyMs!;
    expect([min > 0, min <= p50, p50 <= p99, p99 <= max, mean <= max, max < 5_000]).toEqual([true, true, true, true, true, true]);
    expect((await sender.rooms.metrics({ topRooms: 0 })).topRooms).toEqual([]);
  });

  it('remove ends a room: everybody in it is told, who waits for its messages hears that nobody acknowledged, nothing is left', async () => {
    const namespace = world().namespace();
    const [sender, a, b] = [world().peer({ namespace }), world().peer({ namespace }), world().peer({ namespace })];
    const room = world().room();
    const held = gate();
    const seen = new Seen();
    const one = await a.rooms.join(room, seen.handler(() => held.opened));
    const two = await b.rooms.join(room, () => undefined, { sync: false });
    const first = sender.rooms.send(room, 1, { await: 'acked' });
    await seen.calls(1);
    const second = sender.rooms.send(room, 2, { await: 'acked' });
    await sender.sees(room, 'one waits', ({ backlog }) => backlog === 1);
    expect(await sender.rooms.remove(room)).toBe(2);
    expect(await Promise.all([first, second])).toMatchObject([{ acknowledged: 0 }, { acknowledged: 0 }]);
    await waitUntil(() => !one.active && !two.active, { what: 'both were told' });
    for (const peer of [a, b]) expect(peer.all('room.ejected')).toMatchObject([{ reason: 'removed', rejoins: false }]);
    expect(seen.last.signal.reason).toMatchObject({ reason: 'removed' });
    held.open();
    // Nor is the room noted with the sessions that were in it.
    const sessions = [...a.all('session.joined'), ...b.all('session.joined')].map(({ session }) => session);
    await waitUntil(async () => (await world().keysOf(namespace)).every((key) => !sessions.some((session) => key.endsWith(`:rooms:${session}`))), { what: 'no session has rooms' });
    expect(await sender.rooms.remove(room)).toBe(0);
    expect((await sender.rooms.metrics()).rooms).toBe(0);
    // It can begin again.
    await a.rooms.join(room, seen.handler());
    expect(await sender.rooms.send(room, 3, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    await Promise.all([sender, a, b].map(({ engine }) => engine.stop()));
    const left = (await world().keysOf(namespace)).filter((key) => !key.includes(':sender:') && !key.endsWith(':fanout') && !key.includes(':outcomes:'));
    expect(left).toEqual([]);
  });

  it('a full backlog refuses and loses nothing: what was accepted is delivered, in order', async () => {
    const namespace = world().namespace();
    const [sender, a] = [world().peer({ namespace, maxBacklog: 50 }), world().peer({ namespace, maxBacklog: 50 })];
    const room = world().room();
    const results = await Promise.all(Array.from({ length: 80 }, (_, i) => sender.rooms.send(room, i).then(() => i, (error: { code: string; message: string }) => error)));
    const accepted = results.filter((result) => typeof result === 'number');
    const refused = results.filter((result) => typeof result !== 'number');
    expect([accepted.length, refused.length]).toEqual([50, 30]);
    for (const error of refused) expect(error).toMatchObject({ code: 'BACKPRESSURE', retriable: true, message: expect.stringMatching(/fanout\.maxBacklog/) });
    const seen = new Seen();
    await a.rooms.join(room, seen.handler());
    await seen.calls(50);
    expect(seen.data).toEqual(accepted);
    expect(await sender.rooms.send(room, 'room again', { await: 'acked' })).toMatchObject({ acknowledged: 1 });
  });

  it('processes that disagree about shards are told apart', async () => {
    const namespace = world().namespace();
    const [first, second] = [world().peer({ namespace, shards: 2 }), world().peer({ namespace, shards: 5 })];
    const room = world().room();
    await first.rooms.send(room, 1);
    expect(await failure(second.rooms.send(room, 2))).toMatchObject({ code: 'FANOUT_MISMATCH', message: expect.stringMatching(/5 here and 2/) });
    expect(await failure(second.rooms.join(room, () => undefined))).toMatchObject({ code: 'FANOUT_MISMATCH' });
    const third = world().peer({ namespace, shards: 3 });
    third.engine.addRoomHandler({ room }, { message: () => undefined });
    expect(await failure(third.engine.start())).toMatchObject({ code: 'FANOUT_MISMATCH' });
    // Two at once: one of them is the first.
    const [x, y] = [world().namespace(), world().room()];
    const results = await Promise.allSettled([world().peer({ namespace: x, shards: 4 }), world().peer({ namespace: x, shards: 6 })].map((peer) => peer.rooms.send(y, 1)));
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});

onTopologies(['standalone'], 'what cannot be', (world) => {
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  const sends: Array<readonly [what: string, path: string, send: (rooms: FanoutClient) => Promise<unknown>]> = [
    ['no room', 'room', (rooms) => rooms.send('', 1)],
    ['a room that is no text', 'room', (rooms) => rooms.send(7 as never, 1)],
    ['a room that is too long', 'room', (rooms) => rooms.send('x'.repeat(513), 1)],
    ['half a character', 'room', (rooms) => rooms.send('\ud800', 1)],
    ['circular data', 'data', (rooms) => rooms.send('r', circular)],
    ['a bigint', 'data', (rooms) => rooms.send('r', { n: 1n })],
    ['data that throws nothing at all', 'data', (rooms) => rooms.send('r', { toJSON: () => { throw null; } })],
    ['data that nobody may touch', 'data', (rooms) => rooms.send('r', revoked())],
    ['priority NaN', 'priority', (rooms) => rooms.send('r', 1, { priority: Number.NaN })],
    ['priority 1.5', 'priority', (rooms) => rooms.send('r', 1, { priority: 1.5 })],
    ['priority Infinity', 'priority', (rooms) => rooms.send('r', 1, { priority: Number.POSITIVE_INFINITY })],
    ['priority as text', 'priority', (rooms) => rooms.send('r', 1, { priority: '1' as never })],
    ['headers that are a list', 'headers', (rooms) => rooms.send('r', 1, { headers: ['a'] as never })],
    ['headers that are a Map', 'headers', (rooms) => rooms.send('r', 1, { headers: new Map([['a', 'b']]) as never })],
    ['a header that is a number', 'headers', (rooms) => rooms.send('r', 1, { headers: { a: 1 } as never })],
    ['null headers', 'headers', (rooms) => rooms.send('r', 1, { headers: null as never })],
    ['await something else', 'await', (rooms) => rooms.send('r', 1, { await: 'seen' as never })],
    ['timeoutMs 0', 'timeoutMs', (rooms) => rooms.send('r', 1, { await: 'acked', timeoutMs: 0 })],
    ['an unknown option', 'prio', (rooms) => rooms.send('r', 1, { prio: 1 } as never)],
    ['an unknown option out of band', 'await', (rooms) => rooms.sendOutOfBand('r', 1, { await: 'acked' } as never)],
    ['a priority out of band', 'priority', (rooms) => rooms.sendOutOfBand('r', 1, { priority: 1 } as never)],
    ['options that are null', 'options', (rooms) => rooms.send('r', 1, null as never)],
    ['options that are a list', 'options', (rooms) => rooms.send('r', 1, [] as never)],
    ['options that are a text, out of band', 'options', (rooms) => rooms.sendOutOfBand('r', 1, 'headers' as never)],
    ['peek before the beginning', 'offset', (rooms) => rooms.peek('r', -1)],
    ['peek half a message', 'limit', (rooms) => rooms.peek('r', 0, 0.5)],
    ['peek further than a number can count', 'offset', (rooms) => rooms.peek('r', 1e30)],
    ['metrics of NaN rooms', 'topRooms', (rooms) => rooms.metrics({ topRooms: Number.NaN })],
    ['metrics of fewer rooms than none', 'topRooms', (rooms) => rooms.metrics({ topRooms: -1 })],
    ['an unknown option of metrics', 'top', (rooms) => rooms.metrics({ top: 5 } as never)],
    ['metrics of null', 'options', (rooms) => rooms.metrics(null as never)],
    ['the state of nothing', 'room', (rooms) => rooms.state('')],
    ['to remove nothing', 'room', (rooms) => rooms.remove('')],
    ['no handler', 'handler', (rooms) => rooms.join('r', undefined as never)],
    ['options of a subscriber that are null', 'options', (rooms) => rooms.join('r', () => undefined, null as never)],
    ['a hook that cannot be called', 'ejected', (rooms) => rooms.join('r', () => undefined, { ejected: 5 as never })],
    ['an unknown option of a subscriber', 'acktimeout', (rooms) => rooms.join('r', () => undefined, { acktimeout: 1 } as never)],
    ['a subscriber more patient than its rooms', 'ackTimeoutMs', (rooms) => rooms.join('r', () => undefined, { ackTimeoutMs: 60_000 })],
  ];
  const revoked = (): object => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  };
  it.each(sends)('is refused before anything is sent: %s', async (_, path, send) => {
    const error = await failure<InvalidOptionsError>(send(world().peer().rooms));
    expect(error).toMatchObject({ code: 'INVALID_OPTIONS' });
    expect(error.problems.map((problem) => problem.path).join()).toContain(path);
  });

  it('options: every problem is reported at once, with its path', async () => {
    const make = (): unknown => new RedisStreamsEngine({ fanout: {
      shards: 0, whenEmpty: 'drop', maxBacklog: 0.5, delivery: 'maybe', maxRedeliveries: 0, namespace: '{x}', sync: 1, ack: 'never', ackTimeoutMs: 1, onFailure: 'cry', retry: { maxAttempts: 0, more: 1 }, whenEjected: 'sulk', maxQueued: 0, more: 1,
    } as never });
    const error = await failure<InvalidOptionsError>(Promise.resolve().then(make));
    const paths = error.problems.map(({ path }) => path);
    for (const path of ['shards', 'whenEmpty', 'maxBacklog', 'delivery', 'maxRedeliveries', 'namespace', 'sync', 'ack', 'ackTimeoutMs', 'onFailure', 'retry.maxAttempts', 'retry.more', 'whenEjected', 'maxQueued', 'more']) expect(paths).toContain(`fanout.${path}`);
    const { engine } = world().peer();
    expect(() => engine.addRoomHandler({ room: '' }, { message: () => undefined })).toThrow(/room/);
    expect(() => engine.addRoomHandler({ room: 'a', connection: 'other' }, { message: () => undefined })).toThrow(/connection/);
    expect(() => engine.addRoomHandler({ room: 'a' }, {} as never)).toThrow(/message/);
    expect(() => engine.addRoomHandler({ room: 'a' }, undefined as never)).toThrow(/message/);
    expect(() => engine.addRoomHandler({ room: 'a' }, { message: () => undefined, joined: 1, ejected: 'x' } as never)).toThrow(/handler of the room "a"\.joined: must be a function[^]*\.ejected: must be a function/);
    await engine.start();
    expect(() => engine.addRoomHandler({ room: 'a' }, { message: () => undefined })).toThrow(/started/);
  });

  it('data and names of any kind arrive as they were sent', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const rooms = ['__proto__', 'a b', '{other}', '*'.slice(1) + 'x\ny', 'ümläut 🚀', ':::', 'constructor', `t\tab`, '%s\u0000'];
    const all = [null, 0, '', 'x\ty\nz\u0000', { '__proto__x': 1, deep: [[[{ a: [] }]]] }, JSON.parse('{"__proto__":{"polluted":1}}') as unknown, 'x'.repeat(100_000), '\ud800', [undefined, 1.5e300]];
    for (const room of rooms) {
      const seen = new Seen();
      await a.rooms.join(room, seen.handler());
      for (const data of all) await sender.rooms.send(room, data, { headers: { 'a\tb': 'c\td\n', __proto__x: '' }, await: 'acked' });
      expect([room, seen.data]).toEqual([room, all.map((data) => JSON.parse(JSON.stringify(data)) as unknown)]);
      expect(seen.last.headers).toEqual({ 'a\tb': 'c\td\n', __proto__x: '' });
      expect(seen.last.room).toBe(room);
    }
    await sender.rooms.send(rooms[0]!, undefined, { await: 'acked' });
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('rubbish in a room\'s channel or backlog is told and counted, and the room goes on', async () => {
    const namespace = world().namespace();
    const [sender, a] = [world().peer({ namespace }), world().peer({ namespace })];
    const room = world().room();
    const seen = new Seen();
    await a.rooms.join(room, seen.handler());
    const { state, backlog, rooms } = keysOf(room, { namespace });
    const rubbish = ['', 'x1', 'm', 'm1 2 3', 'mm m m m m m', 'o', 'e', 'e who', `e${'x'.repeat(9_000)}`, '\u0000', 'q1 2 0 0 3 {}', 'oid {"broken'];
    for (const text of rubbish) await world().cli(['SPUBLISH', state, text]);
    await a.saw('room.invalid', rubbish.length);
    expect((await a.rooms.metrics()).invalid).toBe(rubbish.length);
    expect(seen.data).toEqual([]);
    // A payload that is no JSON, as another program may have written it.
    await world().cli(['ZADD', backlog, 0, `1 0 - ${Date.now()} {"broken`]);
    expect(await sender.rooms.send(room, 'good', { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect(a.all('room.invalid').at(-1)).toMatchObject({ room, id: '1' });
    expect(seen.data).toEqual(['good']);
    await sender.idle(room);
    expect(await world().cli(['ZSCORE', rooms, room])).not.toBeNull();
  });

  it('what is no message at all in a backlog goes to the dead letters as it is, and those around it are shown', async () => {
    const namespace = world().namespace();
    const [sender, a] = [world().peer({ namespace }), world().peer({ namespace })];
    const room = world().room();
    const { backlog, dead, state } = keysOf(room, { namespace });
    const rubbish = ['', 'rubbish', '1 0', '1 0 - ', 'm1 0 - 2 {}', '1 x - 2 {}'];
    await sender.rooms.send(room, 'before', { priority: -7 });
    for (const entry of rubbish) await world().cli(['ZADD', backlog, -5, entry]);
    const last = sender.rooms.send(room, 'after', { await: 'acked' });
    await sender.sees(room, 'all wait', (now) => now.backlog === rubbish.length + 2);
    const seen = new Seen();
    await a.rooms.join(room, seen.handler());
    expect(await last).toMatchObject({ acknowledged: 1, ejected: [] });
    await sender.idle(room);
    expect(seen.data).toEqual(['before', 'after']);
    expect(await world().cli(['HMGET', state, 'turn', 'left', 'text'])).toEqual([null, null, null]);
    const letters = (await world().cli(['XRANGE', dead, '-', '+'])) as Array<[string, string[]]>;
    expect(letters.map(([, fields]) => fields).sort()).toEqual(rubbish.map((entry) => ['reason', 'unreadable', 'room', room, 'priority', '-5', 'entry', entry]).sort());
  });

  it('a current message of a protocol that nobody here speaks is acknowledged as any, or a dead letter when all go away over it', async () => {
    const { store, namespace, session, send, current, turnOf, owing } = await storeOf(world());
    const [a, b] = [await session('a'), await session('b')];
    const { state, dead } = keysOf('r', { namespace });
    for (const who of [a, b]) await store.join(who, [{ room: 'r', sync: true }]);
    const spoil = async (): Promise<string> => {
      const turn = String(await world().cli(['HGET', state, 'turn']));
      const text = `m1 ${turn} 0 0 1 {"a": 1}`;
      await world().cli(['HSET', state, 'text', text]);
      return text;
    };
    const [m1, m2, m3] = (await send('r', 1, 2, 3)) as [string, string, string];
    expect(await current('r')).toBe(m1);
    await spoil();
    for (const who of [a, b]) await store.acknowledge(who, [{ room: 'r', turn: turnOf(m1), ejected: [] }]);
    expect(await current('r')).toBe(m2);
    const text = await spoil();
    expect(await store.leave(a, [{ room: 'r' }])).toMatchObject([{ late: [] }]);
    expect(await store.leave(b, [{ room: 'r' }])).toMatchObject([{ late: [] }]);
    expect(((await world().cli(['XRANGE', dead, '-', '+'])) as Array<[string, string[]]>).map(([, fields]) => fields)).toEqual([['reason', 'unreadable', 'room', 'r', 'entry', text]]);
    await store.join(a, [{ room: 'r', sync: true }]);
    expect([await current('r'), await owing('r')]).toEqual([m3, [a]]);
  });

  it('a word in a room\'s channel that was older than the last join: the process is no member that nobody there knows of', async () => {
    const namespace = world().namespace();
    const [sender, a] = [world().peer({ namespace }), world().peer({ namespace })];
    const room = world().room();
    for (const whenEjected of ['leave', 'rejoin'] as const) {
      for (const removed of [true, false]) {
        await a.rooms.join(room, () => undefined, { whenEjected });
        const { members: [member] } = await sender.rooms.state(room);
        await world().cli(['SPUBLISH', keysOf(room, { namespace }).state, removed ? 'x' : `e${member!.session} 1`]);
        const ejections = removed ? ['removed', false] : ['expired', whenEjected === 'rejoin'];
        await waitUntil(() => { const last = a.all('room.ejected').at(-1); return last?.reason === ejections[0] && last?.rejoins === ejections[1]; }, { what: 'it believes it' });
        await sender.sees(room, 'what it is, it knows', ({ members }) => members.length === (ejections[1] ? 1 : 0));
        if (ejections[1]) expect(await sender.rooms.send(room, 1, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
        await a.rooms.leave(room);
      }
    }
  });
});
