import { expect, it } from 'vitest';
import { createRng, seedFromEnv } from '../../support/seed.js';
import { Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { storeOf } from './support/store.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'acknowledgements', (world) => {
  it('name the turn of their message: said again, late, early, of something else or by somebody else they release nothing', async () => {
    const { store, session, send, current, turnOf, owing } = await storeOf(world());
    const [a, b, stranger] = [await session('a'), await session('b'), await session('stranger')];
    const room = world().room();
    const ack = (who: string, id: string): Promise<readonly number[]> => store.acknowledge(who, [{ room, turn: turnOf(id), ejected: [] }]);
    await store.join(a, [{ room, sync: true }]);
    await store.join(b, [{ room, sync: true }]);
    const [m1, m2, m3] = (await send(room, 1, 2, 3)) as [string, string, string];
    expect(await current(room)).toBe(m1);
    // Early: of what waits.
    expect(await ack(a, m2)).toEqual([0]);
    expect(await ack(a, m1)).toEqual([1]);
    expect(await ack(a, m1)).toEqual([0]);
    expect([await current(room), await owing(room)]).toEqual([m1, [b]]);
    // By somebody who is no member, and of nothing there is.
    expect(await ack(stranger, m1)).toEqual([-1]);
    expect(await ack(b, '1')).toEqual([0]);
    expect(await ack(b, 'no number')).toEqual([0]);
    expect([await current(room), await owing(room)]).toEqual([m1, [b]]);
    expect(await ack(b, m1)).toEqual([1]);
    expect([await current(room), await owing(room)]).toEqual([m2, [a, b]]);
    // Late: of the one before, as often as it likes, in one call with others or alone.
    expect(await store.acknowledge(a, [m1, m1, m3, m1].map((id) => ({ room, turn: turnOf(id), ejected: [] })))).toEqual([0, 0, 0, 0]);
    expect(await ack(b, m1)).toEqual([0]);
    expect([await current(room), await owing(room)]).toEqual([m2, [a, b]]);
    expect(await store.acknowledge(a, [m1, m2, m2, m3].map((id) => ({ room, turn: turnOf(id), ejected: [] })))).toEqual([0, 1, 0, 0]);
    expect(await current(room)).toBe(m2);
    // The last one, twice in one call: it does not count for the next message, which the first has released.
    expect(await store.acknowledge(b, [m2, m2].map((id) => ({ room, turn: turnOf(id), ejected: [] })))).toEqual([1, 0]);
    expect([await current(room), await owing(room)]).toEqual([m3, [a, b]]);
  });

  it('of an earlier showing of the same message are not taken for the one under way', async () => {
    const { store, session, send, current, turnOf, owing } = await storeOf(world());
    const [a, b] = [await session('a'), await session('b')];
    const room = world().room();
    await store.join(a, [{ room, sync: true }]);
    const [m1] = (await send(room, 1)) as [string];
    expect(await current(room)).toBe(m1);
    const before = turnOf(m1);
    await store.leave(a, [{ room }]);
    await store.join(b, [{ room, sync: true }]);
    await store.join(a, [{ room, sync: true }]);
    expect([await current(room), await owing(room)]).toEqual([m1, [b]]);
    await store.leave(b, [{ room }]);
    expect([await current(room), await owing(room)]).toEqual([m1, [a]]);
    expect(await store.acknowledge(a, [{ room, turn: before, ejected: [] }])).toEqual([0]);
    expect([await current(room), await owing(room)]).toEqual([m1, [a]]);
    expect(await store.acknowledge(a, [{ room, turn: turnOf(m1), ejected: [] }])).toEqual([1]);
    expect(await current(room)).toBeUndefined();
  });

  it('who looked a while ago ejects nobody who is in time by now: not for a message that came since, not for a session that lives', async () => {
    const { store, session, send, current, turnOf, owing, namespace } = await storeOf(world());
    const [a, b] = [await session('a'), await session('b')];
    const room = world().room();
    const { tag, state, sessions } = keysOf(room, { namespace });
    await store.join(a, [{ room, sync: true }]);
    await store.join(b, [{ room, sync: true }]);
    const [m1, m2] = (await send(room, 1, 2)) as [string, string];
    const unchanged = async (id: string): Promise<void> => expect([await current(room), await owing(room)]).toEqual([id, [a, b]]);
    const overdue = async (): Promise<void> => void (await Promise.all([world().cli(['ZADD', `${tag}:current`, 1, room]), world().cli(['HSET', state, 'until', 1]), world().cli(['HDEL', state, 'plain'])]));
    expect(await store.expire([room])).toMatchObject([{ late: [] }]);
    await unchanged(m1);
    // Overdue when somebody looked; the last acknowledgement came before the ejection.
    await world().cli(['ZADD', `${tag}:current`, 1, room]);
    expect(await store.expire([room])).toMatchObject([{ late: [] }]); // noted under an earlier deadline than it has
    await unchanged(m1);
    await overdue();
    await store.acknowledge(a, [{ room, turn: turnOf(m1), ejected: [] }]);
    await store.acknowledge(b, [{ room, turn: turnOf(m1), ejected: [] }]);
    expect(await store.expire([room])).toMatchObject([{ late: [] }]);
    await unchanged(m2);
    expect(await store.bury(b, [room])).toBeUndefined();
    await unchanged(m2);
    await world().cli(['ZADD', sessions, Date.now() - 1, b]);
    expect(await store.bury(b, [room])).toMatchObject([{ late: [] }]);
    expect([await current(room), await owing(room)]).toEqual([m2, [a]]);
    await overdue();
    // Nobody has acknowledged: it is back in its place.
    expect(await store.expire([room])).toMatchObject([{ late: [a], redelivered: m2 }]);
    expect([await current(room), (await store.peek(room, 0, 9)).map(({ id, redelivery }) => [id, redelivery])]).toEqual([undefined, [[m2, 1]]]);
  });

  it('any sequence of acknowledgements, joins and leaves releases a message exactly when all who were there have acknowledged or left', async () => {
    const rng = createRng(seedFromEnv('fanout acknowledgements'));
    const { store, session, send, current, turnOf, owing, inShort } = await storeOf(world(), { maxRedeliveries: 1_000 });
    const taken = { inShort: 0, lastInShort: 0 };
    const room = world().room();
    const sessions = await Promise.all(['a', 'b', 'c', 'd'].map(session));
    const members = new Set<string>();
    const waiting: string[] = [];
    const known: string[] = ['1'];
    let now: { id: string; owing: Set<string>; acked: boolean } | undefined;
    const proceed = (): void => {
      if (now && now.owing.size === 0) {
        if (!now.acked) waiting.unshift(now.id);
        now = undefined;
      }
      if (!now && members.size > 0 && waiting.length > 0) now = { id: waiting.shift()!, owing: new Set(members), acked: false };
    };
    for (let step = 0; step < 400; step++) {
      const who = rng.pick(sessions);
      switch (rng.pick(['send', 'ack', 'ack', 'ack', 'wrong', 'wrong', 'join', 'leave'])) {
        case 'send': {
          const ids = await send(room, ...Array.from({ length: rng.int(1, 3) }, () => step));
          waiting.push(...ids);
          known.push(...ids);
          break;
        }
        case 'join':
          await store.join(who, [{ room, sync: true }]);
          members.add(who);
          break;
        case 'leave':
          await store.leave(who, [{ room }]);
          members.delete(who);
          now?.owing.delete(who);
          break;
        default: {
          const id = rng.chance(0.6) ? (now?.id ?? '1') : rng.pick(known);
          const due = now?.id === id && now.owing.has(who);
          let isTaken = false;
          if (rng.chance(0.5)) {
            await inShort(who, room, turnOf(id));
            isTaken = due && ((await current(room)) !== id || !(await owing(room)).includes(who));
            if (isTaken) taken[now!.owing.size === 1 ? 'lastInShort' : 'inShort']++;
          }
          if (!isTaken) {
            const [answer] = await store.acknowledge(who, [{ room, turn: turnOf(id), ejected: [] }]);
            expect({ step, answer }).toEqual({ step, answer: due ? 1 : members.has(who) ? 0 : -1 });
          }
          if (due && now) {
            now.owing.delete(who);
            now.acked = true;
          }
        }
      }
      proceed();
      expect({ step, current: await current(room), owing: await owing(room) }).toEqual({ step, current: now?.id, owing: [...(now?.owing ?? [])].sort() });
    }
    expect(taken.inShort).toBeGreaterThan(0);
    expect(taken.lastInShort).toBeGreaterThan(0);
  });
});

onTopologies(['standalone'], 'names of subscribers', (world) => {
  it('are unique over 20,000 concurrent joins, of many rooms and of one', async () => {
    const peers = world().peers(4, { namespace: world().namespace() }, { session: { ttlMs: 10_000 } });
    const rooms = Array.from({ length: 500 }, () => world().room());
    const seen = new Seen();
    const handler = seen.handler();
    const joined = await Promise.all(Array.from({ length: 20_000 }, (_, i) => peers[i % 4]!.rooms.join(i % 2 === 0 ? rooms[0]! : rooms[(i >> 1) % 500]!, handler)));
    expect(new Set(joined.map(({ subscriber }) => subscriber)).size).toBe(20_000);
    expect(joined.every(({ active }) => active)).toBe(true);
    const metrics = await Promise.all(peers.map((peer) => peer.rooms.metrics()));
    expect(metrics.reduce((sum, { subscribers }) => sum + subscribers, 0)).toBe(20_000);
    expect(metrics[0]!.rooms).toBe(500);
    // Each of the many in one room is shown a message once.
    const there = joined.filter(({ room }) => room === rooms[0]).length;
    expect(await peers[0]!.rooms.send(rooms[0]!, 'all', { await: 'acked' })).toMatchObject({ ejected: [] });
    expect(new Set(seen.contexts.map(({ subscriber }) => subscriber)).size).toBe(there);
    expect(seen.contexts).toHaveLength(there);
  });
});
