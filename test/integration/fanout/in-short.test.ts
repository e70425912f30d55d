import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { storeOf } from './support/store.js';
import { BOTH, onTopologies, type World } from './support/world.js';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Who listens to a room's channel by hand. */
async function listen(world: World, channel: string): Promise<string[]> {
  const { port } = await world.serverOf(channel);
  const listener = new Redis(port, { retryStrategy: () => null });
  world.onEnd(async () => listener.disconnect());
  const heard: string[] = [];
  listener.on('smessage', (_: string, text: string) => void heard.push(text));
  await listener.ssubscribe(channel);
  return heard;
}

onTopologies(BOTH, 'acknowledgements in short', (world) => {
  it('show the next message as those in full do, and count once', async () => {
    const { store, namespace, session, send, current, turnOf, owing, inShort } = await storeOf(world());
    const room = world().room();
    const { state } = keysOf(room, { namespace });
    const [a, b, listener] = [await session('a'), await session('b'), await session('c')];
    for (const [who, sync] of [[a, true], [b, true], [listener, false]] as const) await store.join(who, [{ room, sync }]);
    const heard = await listen(world(), state);
    const [m1, m2, m3] = (await send(room, 1, 2, 3)) as [string, string, string];
    expect(await current(room)).toBe(m1);
    await inShort(a, room, turnOf(m1) - 1);
    await inShort(a, room, turnOf(m1) + 1);
    await inShort(listener, room, turnOf(m1));
    await inShort('stranger:1', room, turnOf(m1));
    expect(await owing(room)).toEqual([a, b]);
    await inShort(a, room, turnOf(m1));
    await inShort(a, room, turnOf(m1));
    expect([await current(room), await owing(room)]).toEqual([m1, [b]]);
    const before = (await store.state(room)).current!;
    await inShort(b, room, turnOf(m1));
    await inShort(a, room, turnOf(m1));
    expect([await current(room), await owing(room)]).toEqual([m2, [a, b]]);
    const after = (await store.state(room)).current!;
    expect(after.message.turn).toBeGreaterThan(before.message.turn);
    // Since the message before it, not since whatever was written down last.
    expect(after.deadline - before.deadline).toBe(Math.floor(after.message.turn / 1_000) - Math.floor(before.message.turn / 1_000));
    // One way and the other.
    expect(await store.acknowledge(a, [{ room, turn: turnOf(m1), ejected: [] }, { room, turn: turnOf(m2), ejected: [] }])).toEqual([0, 1]);
    await inShort(b, room, turnOf(m2));
    expect([await current(room), await owing(room), (await store.state(room)).waiting]).toEqual([m3, [a, b], 0]);
    await waitUntil(() => heard.length === 3, { what: 'all were shown once' });
    expect(heard.map((text) => text.split(' ')[2])).toEqual([m1, m2, m3]);
  });

  it('change nothing, and say so, where there is more to do than to show the next message', async () => {
    const { store, namespace, session, send, current, turnOf, owing, inShort } = await storeOf(world(), { maxBacklog: 100 });
    const { state, backlog } = (({ state: s }) => ({ state: s, backlog: s.replace(':room:', ':backlog:') }))(keysOf('r', { namespace }));
    const [a, b, c] = [await session('a'), await session('b'), await session('c')];
    for (const who of [a, b]) await store.join(who, [{ room: 'r', sync: true }]);
    const heard = await listen(world(), state);
    let refused = 0;
    const stays = async (who: string): Promise<void> => {
      const known = await current('r');
      const image = async (): Promise<unknown> => [await world().cli(['HGETALL', state]), await world().cli(['ZRANGE', backlog, 0, -1, 'WITHSCORES'])];
      const before = await image();
      await inShort(who, 'r', turnOf(known!));
      expect(await image()).toEqual(before);
      const notice = `a${who} ${turnOf(known!)}`;
      await waitUntil(() => heard.filter((text) => text.startsWith('a')).length === refused + 1, { what: notice });
      expect(heard.findLast((text) => text.startsWith('a'))).toBe(notice);
      refused++;
      expect(await owing('r')).toContain(who);
      await store.acknowledge(who, [{ room: 'r', turn: turnOf(known!), ejected: [] }]);
    };
    // Nothing waits.
    const [m1] = await send('r', 1);
    expect(await current('r')).toBe(m1);
    await inShort(a, 'r', turnOf(m1!));
    await stays(b);
    expect(await current('r')).toBeUndefined();
    // A sender waits for the next one; then for this one.
    await send('r', 2);
    const [awaited] = (await store.send('you', 1, [{ room: 'r', priority: 0, payload: '3', awaited: true }])) as [string];
    await store.send('you', 2, [{ room: 'r', priority: 0, payload: '4', awaited: false }]);
    await inShort(a, 'r', turnOf((await current('r'))!));
    await stays(b);
    expect(await current('r')).toBe(awaited);
    await inShort(b, 'r', turnOf(awaited));
    await stays(a);
    expect(await store.outcomes('r', [awaited])).toMatchObject([{ acknowledged: 2, ejected: [] }]);
    // There is one more in the room; then one less, who owed.
    await current('r');
    await store.join(c, [{ room: 'r', sync: true }]);
    await store.send('you', 3, [5, 6, 7].map((n) => ({ room: 'r', priority: 0, payload: String(n), awaited: false })));
    await inShort(a, 'r', turnOf((await current('r'))!));
    await stays(b);
    await current('r');
    expect(await owing('r')).toEqual([a, b, c]);
    await store.leave(c, [{ room: 'r' }]);
    await inShort(a, 'r', turnOf((await current('r'))!));
    await stays(b);
    // Somebody else has written what waits, and the deadline is to be noted.
    await world().cli(['ZADD', backlog, -1, 'rubbish']);
    await current('r');
    await inShort(a, 'r', turnOf((await current('r'))!));
    await stays(b);
    await send('r', 8, 9);
    await current('r');
    const plain = String(await world().cli(['HGET', state, 'plain']));
    expect(plain).toMatch(/^\d{16} 2$/);
    await world().cli(['HSET', state, 'plain', `${'1'.padEnd(16, '0')} 2`]);
    await inShort(a, 'r', turnOf((await current('r'))!));
    await stays(b);
    expect(await world().cli(['HGET', state, 'plain'])).toMatch(/^1[1-9]\d{14} 2$/);
    // The server's clock was set back since an id was given: turns rise all the same.
    await send('r', 10, 11);
    const ahead = Date.now() * 1_000 + 60_000_000;
    await world().cli(['HSET', state, 'number', ahead]);
    await inShort(a, 'r', turnOf((await current('r'))!));
    await stays(b);
    expect(turnOf((await current('r'))!)).toBe(ahead + 1);
    expect(await world().cli(['HGET', state, 'plain'])).toBeNull();
    expect(refused).toBe(8);
  });
});

onTopologies(['standalone'], 'an acknowledgement in short that was not taken', (world) => {
  it('is said in full at once', async () => {
    const [a, b, sender] = [world().peer(), world().peer(), world().peer()];
    const room = world().room();
    const [first, second] = [new Seen(), new Seen()];
    await Promise.all([a.rooms.join(room, first.handler()), b.rooms.join(room, second.handler())]);
    const { port } = await world().serverOf(keysOf(room, {}).state);
    const connection = new Redis(port, { retryStrategy: () => null });
    const monitor = await connection.monitor();
    world().onEnd(async () => { monitor.disconnect(); connection.disconnect(); });
    const sha = async (text: string): Promise<string> => String(await world().cli(['SCRIPT', 'LOAD', text]));
    const { LUA } = await import('../../../libs/redis-streams/dist/scripts/lua.generated.js');
    const full = await sha(LUA['fanout-ack']);
    const refused = new Map<string, number>();
    const tookMs: number[] = [];
    let shown = 0;
    monitor.on('monitor', (time: string, args: string[]) => {
      const at = Number(time) * 1_000;
      if (args[0] === 'SPUBLISH' && args[2]?.startsWith('a')) refused.set(args[2].slice(1), at);
      if (args[0] === 'SPUBLISH' && args[2]?.startsWith('m')) shown++;
      if (args[0]?.toUpperCase() !== 'EVALSHA') return;
      const since = args[1] === full ? refused.get(`${args.at(-2)} ${args.at(-1)}`) : undefined;
      if (since !== undefined) tookMs.push(at - since);
    });
    // Nothing waits behind any of them.
    let sent = 0;
    while (sent < 400 || (refused.size < 6 && sent < 5_000)) await sender.rooms.send(room, sent++, { await: 'acked' });
    await waitUntil(() => shown === sent, { what: 'the monitor has seen all' });
    expect([first.data, second.data]).toEqual([numbers(sent), numbers(sent)]);
    expect(refused.size).toBeGreaterThanOrEqual(6);
    // Not after the 50 ms after which it would be said again anyway.
    expect(tookMs.toSorted((x, y) => x - y)[tookMs.length >> 1]!).toBeLessThan(25);
  });
});
