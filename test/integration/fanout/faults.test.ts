import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { startProxy, type TcpProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { shaOf, startCutter, type Cutter } from '../support/cutter.js';
import type { RedisStreamsOptions } from '../support/engine.js';
import { failure } from '../support/failure.js';
import { gate, Seen } from './support/handlers.js';
import type { Peer } from './support/peer.js';
import { keysOf } from './support/keys.js';
import { onTopologies, type World } from './support/world.js';

const server = (world: World): number => (world.topology.kind === 'standalone' ? world.topology.server.port : 0);

async function proxied(world: World, session = { ttlMs: 6_000 }): Promise<{ proxy: TcpProxy; peer: Peer }> {
  const proxy = await startProxy(server(world));
  world.onEnd(() => proxy.stop());
  return { proxy, peer: world.peer({}, { connection: { url: proxy.url }, session }) };
}

async function behindCutter(world: World, more: RedisStreamsOptions = {}): Promise<{ cutter: Cutter; peer: Peer }> {
  const cutter = await startCutter(server(world));
  world.onEnd(() => cutter.stop());
  return { cutter, peer: world.peer({}, { connection: { url: cutter.url }, session: { ttlMs: 6_000 }, ...more }) };
}

onTopologies(['standalone'], 'broken connections', (world) => {
  it('the subscriber connection is cut while a message is handled: it is shown once, and what comes meanwhile is fetched', async () => {
    const [sender, { peer: a }] = [world().peer(), await proxied(world())];
    const room = world().room();
    const held = gate();
    const seen = new Seen();
    await a.rooms.join(room, seen.handler((_, n) => (n === 1 ? held.opened : undefined)));
    await sender.rooms.send(room, 1);
    await seen.calls(1);
    await world().cli(['CLIENT', 'KILL', 'TYPE', 'pubsub'], room);
    await sender.rooms.send(room, 2);
    await a.saw('connection.replaced');
    held.open();
    expect(await sender.rooms.send(room, 3, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect(seen.contexts.map(({ data, redelivery }) => [data, redelivery])).toEqual([[1, 0], [2, 0], [3, 0]]);
    expect(a.all('session.lost')).toEqual([]);
  });

  it('all connections are away when a message is released: each of the process\'s handlers is shown it, once, when they are back', async () => {
    const [sender, b, { proxy, peer: a }] = [world().peer(), world().peer(), await proxied(world())];
    const room = world().room();
    const [first, second, other] = [new Seen(), new Seen(), new Seen()];
    await Promise.all([a.rooms.join(room, first.handler()), a.rooms.join(room, second.handler()), b.rooms.join(room, other.handler())]);
    for (let i = 0; i < 3; i++) {
      const { port } = proxy;
      await proxy.stop();
      const outcome = sender.rooms.send(room, i, { await: 'acked' });
      await other.calls(i + 1);
      await sender.sees(room, 'the others have acknowledged', ({ owing }) => owing.length === 1);
      expect(first.contexts).toHaveLength(i);
      const again = await startProxy(server(world()), { port });
      world().onEnd(() => again.stop());
      Object.assign(proxy, again);
      expect(await outcome).toMatchObject({ acknowledged: 2, ejected: [] });
    }
    expect([first.data, second.data, other.data]).toEqual([[0, 1, 2], [0, 1, 2], [0, 1, 2]]);
    expect([first, second].flatMap(({ contexts }) => contexts.map(({ redelivery, attempt }) => [redelivery, attempt]))).toEqual(Array.from({ length: 6 }, () => [0, 1]));
  });

  it('a stop does not wait for a server that fell silent while the process was still to join', async () => {
    const { proxy, peer } = await proxied(world());
    const room = world().room();
    await peer.rooms.send(room, 1);
    proxy.blackhole(true);
    const joining = failure(peer.rooms.join(room, () => undefined));
    await peer.saw('connection.replaced');
    const before = performance.now();
    await peer.engine.stop();
    expect(performance.now() - before).toBeLessThan(10_000);
    expect(await joining).toBeInstanceOf(Error);
  });

  it('a subscriber connection that is silent: a heartbeat finds what it has not told', async () => {
    const namespace = world().namespace();
    const [sender, a] = [world().peer({ namespace }), world().peer({ namespace }, { session: { ttlMs: 1_000 } })];
    const room = world().room();
    const seen = new Seen();
    await a.rooms.join(room, seen.handler());
    // As if the server had written it into a buffer that was never read: released, and not published.
    const { state, tag } = keysOf(room, { namespace });
    const now = Date.now() * 1_000;
    await world().cli(['HSET', state, 'turn', now + 1, 'left', 1, 'due', 1, 'until', Date.now() + 30_000, 'text', `m${now + 1} 0 ${now} 0 - ${Date.now()} "missed"`]);
    await world().cli(['ZADD', `${tag}:current`, Date.now() + 30_000, room]);
    await seen.calls(1, 5_000);
    expect(seen.data).toEqual(['missed']);
    await sender.idle(room);
  });

  it('the answer to a send is lost: sent again, it adds nothing twice', async () => {
    const [a, { cutter, peer: sender }] = [world().peer(), await behindCutter(world())];
    const room = world().room();
    const seen = new Seen();
    await a.rooms.join(room, seen.handler());
    await sender.rooms.send(room, 'first');
    const ids: string[] = [];
    for (let i = 0; i < 4; i++) {
      cutter.cutAfter(shaOf('fanout-send'));
      const sent = await Promise.all(Array.from({ length: 5 }, (_, n) => sender.rooms.send(room, i * 5 + n)));
      ids.push(...sent.map(({ id }) => id));
    }
    expect(cutter.cuts).toBe(4);
    await seen.calls(21);
    await a.idle(room);
    expect(seen.data.slice(1)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(seen.ids.slice(1)).toEqual(ids);
  });

  it('the answer to an acknowledgement is lost: it counts once, and the next message is not released by it', async () => {
    const [sender, b, { cutter, peer: a }] = [world().peer(), world().peer(), await behindCutter(world())];
    const room = world().room();
    const held = gate();
    const [seenA, seenB] = [new Seen(), new Seen()];
    await a.rooms.join(room, seenA.handler());
    await b.rooms.join(room, seenB.handler((_, n) => (n === 2 ? held.opened : undefined)));
    cutter.cutAfter(shaOf('fanout-ack'), 3);
    expect(await sender.rooms.send(room, 1, { await: 'acked' })).toMatchObject({ acknowledged: 2, ejected: [] });
    const second = sender.rooms.send(room, 2, { await: 'acked' });
    await sender.rooms.send(room, 3);
    await waitUntil(() => cutter.cuts === 3, { what: 'three answers were lost' });
    await seenB.calls(2);
    await sender.sees(room, 'one owes', ({ owing }) => owing.length === 1);
    expect((await sender.rooms.state(room)).current?.data).toBe(2);
    held.open();
    expect(await second).toMatchObject({ acknowledged: 2, ejected: [] });
    await Promise.all([seenA.calls(3), seenB.calls(3)]);
    await sender.idle(room);
    expect([seenA.data, seenB.data]).toEqual([[1, 2, 3], [1, 2, 3]]);
    expect([...a.all('room.ejected'), ...a.all('session.lost')]).toEqual([]);
  });

  it('the answer to a join is lost: what is owed since is shown', async () => {
    const [sender, { cutter, peer: a }] = [world().peer(), await behindCutter(world())];
    const room = world().room();
    await sender.rooms.send(room, 'kept');
    const seen = new Seen();
    cutter.cutAfter(shaOf('fanout-join'), 2);
    const subscription = await a.rooms.join(room, seen.handler());
    await seen.calls(1);
    expect(await sender.rooms.send(room, 'more', { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
    expect([cutter.cuts, seen.contexts.map(({ data, redelivery }) => [data, redelivery])]).toEqual([2, [['kept', 0], ['more', 0]]]);
    // And of the leave: it is out.
    cutter.cutAfter(shaOf('fanout-eject'));
    await subscription.leave();
    expect(cutter.cuts).toBe(3);
    expect((await sender.rooms.state(room)).members).toEqual([]);
  });

  it('every answer to a join is lost, and nobody wants the room any more: the process is no member that nobody there knows of', async () => {
    let troubles = 0;
    const [sender, { cutter, peer: a }] = [world().peer(), await behindCutter(world(), { commandTimeoutMs: 300, onError: () => void troubles++ })];
    const [alone, listened] = [world().room(), world().room()];
    a.engine.addRoomHandler({ room: listened, sync: false }, { message: () => undefined });
    await a.engine.start();
    for (const room of [alone, listened]) {
      cutter.cutAfter(shaOf('fanout-join'), 1_000);
      const joining = failure(a.rooms.join(room, () => undefined));
      await sender.sees(room, 'the server has taken it in', ({ members }) => members.some(({ sync }) => sync));
      const left = a.rooms.leave(room);
      expect(await joining).toMatchObject({ code: 'CLOSED' });
      // The join is given up, its outcome unknown.
      const before = troubles;
      await waitUntil(() => troubles > before, { what: 'a join has failed' });
      cutter.cutAfter(shaOf('fanout-join'), 0);
      await left;
      expect((await sender.rooms.state(room)).members.map(({ sync }) => sync)).toEqual(room === alone ? [] : [false]);
    }
  });

  it('commands go unanswered for a while: acknowledgements and sends arrive afterwards, nothing twice', async () => {
    const [sender, b, { proxy, peer: a }] = [world().peer(), world().peer(), await proxied(world(), { ttlMs: 10_000 })];
    const room = world().room();
    const held = gate();
    const [seenA, seenB] = [new Seen(), new Seen()];
    await a.rooms.join(room, seenA.handler((_, n) => (n === 1 ? held.opened : undefined)));
    await b.rooms.join(room, seenB.handler());
    await a.rooms.send(room, 1);
    await seenA.calls(1);
    proxy.blackhole(true);
    held.open();
    const sends = [2, 3, 4].map((n) => a.rooms.send(room, n));
    await sleep(150);
    proxy.blackhole(false);
    proxy.cutAll();
    await Promise.all(sends);
    expect(await sender.rooms.send(room, 5, { await: 'acked' })).toMatchObject({ acknowledged: 2, ejected: [] });
    expect([seenA.data, seenB.data]).toEqual([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]);
  });
});
