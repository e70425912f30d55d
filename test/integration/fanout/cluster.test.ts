import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { gate, Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { onTopologies } from './support/world.js';

onTopologies(['cluster'], 'rooms over a cluster', (world) => {
  it('shards are spread over the masters, rooms over the shards; each is complete where it is', async () => {
    const fanout = { namespace: world().namespace(), shards: 16 };
    const [sender, a, b] = [world().peer(fanout), world().peer(fanout), world().peer(fanout)];
    const rooms = Array.from({ length: 48 }, () => world().room());
    const seen = new Seen();
    await Promise.all(rooms.flatMap((room) => [a.rooms.join(room, seen.handler()), b.rooms.join(room, () => undefined)]));
    const outcomes = await Promise.all(rooms.map((room) => sender.rooms.send(room, room, { await: 'acked' })));
    expect(outcomes.every(({ acknowledged, ejected }) => acknowledged === 2 && ejected.length === 0)).toBe(true);
    expect(seen.contexts.every(({ room, data }) => room === data)).toBe(true);
    expect(await sender.rooms.metrics()).toMatchObject({ rooms: 48 });
    const perMaster = await Promise.all(world().topology.servers.map(async (server) => ((await server.cli('KEYS', `{fanout:${fanout.namespace}:*:room:*`)) as string[]).length));
    expect(perMaster.reduce((sum, count) => sum + count, 0)).toBe(48);
    for (const count of perMaster) expect(count).toBeGreaterThan(0);
  });

  it('the slot of a shard moves to another master while a message is handled: the room goes on there', async () => {
    const fanout = { namespace: world().namespace(), shards: 1 };
    const more = { session: { ttlMs: 5_000, heartbeatMs: 500 } };
    const [sender, a, b] = [world().peer(fanout, more), world().peer(fanout, more), world().peer(fanout, more)];
    const room = world().room();
    const held = gate();
    const [seenA, seenB] = [new Seen(), new Seen()];
    await a.rooms.join(room, seenA.handler((_, n) => (n === 1 ? held.opened : undefined)));
    await b.rooms.join(room, seenB.handler());
    const first = sender.rooms.send(room, 1, { await: 'acked' });
    await seenA.calls(1);
    const { topology } = world();
    if (topology.kind !== 'cluster') throw new Error('a cluster only');
    const { masters } = topology.cluster;
    const { state } = keysOf(room, { namespace: fanout.namespace });
    const from = await topology.cluster.nodeFor(state);
    const to = masters.find((node) => node !== from)!;
    const slot = Number(await from.cli('CLUSTER', 'KEYSLOT', state));
    await to.cli('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id);
    await from.cli('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id);
    for (let keys = ['']; keys.length > 0;) {
      keys = (await from.cli('CLUSTER', 'GETKEYSINSLOT', slot, 100)) as string[];
      if (keys.length > 0) await from.cli('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...keys);
    }
    for (const node of [to, ...masters.filter((each) => each !== to)]) await node.cli('CLUSTER', 'SETSLOT', slot, 'NODE', to.id);
    held.open();
    expect((await first).acknowledged).toBeGreaterThan(0);
    for (let i = 2; i <= 4; i++) expect(await sender.rooms.send(room, i, { await: 'acked' })).toMatchObject({ acknowledged: 2, ejected: [] });
    const distinct = (seen: Seen): unknown[] => [...new Set(seen.data)];
    expect([distinct(seenA), distinct(seenB)]).toEqual([[1, 2, 3, 4], [1, 2, 3, 4]]);
    // Out of band needs who listens to listen at the new place.
    await waitUntil(async () => {
      await sender.rooms.sendOutOfBand(room, 'oob');
      return seenA.data.includes('oob') && seenB.data.includes('oob');
    }, { what: 'both hear what is published there', timeoutMs: 12_000, intervalMs: 100 });
  });
}, { own: true });
