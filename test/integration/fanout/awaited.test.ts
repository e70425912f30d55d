import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import type { AckTimeoutError } from './support/engine.js';
import { gate, Seen, untilAborted } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'a sender that waits', (world) => {
  it('hears when all have acknowledged, and who was ejected: processes, and subscribers of processes that did', async () => {
    const [sender, a, b] = [world().peer(), world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    await a.rooms.join(room, () => held.opened);
    const late = await a.rooms.join(room, (_, context) => untilAborted(context), { ackTimeoutMs: 50 });
    await b.rooms.join(room, (_, context) => untilAborted(context), { ackTimeoutMs: 50, whenEjected: 'leave' });
    const { members } = await sender.rooms.state(room);
    let ended = false;
    const sent = sender.rooms.send(room, 1, { await: 'acked' }).finally(() => { ended = true; });
    const { owing } = await sender.sees(room, 'the late one is out', (state) => state.members.length === 1);
    expect(ended).toBe(false);
    held.open();
    const outcome = await sent;
    const gone = members.map(({ session }) => session).filter((session) => !owing.includes(session));
    expect(outcome).toMatchObject({ room, acknowledged: 1 });
    expect(new Set(outcome.ejected)).toEqual(new Set([late.subscriber, ...gone]));
  });

  it('for several rooms of a shard at once: each hears of its own', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const rooms = Array.from({ length: 12 }, () => world().room());
    const gates = rooms.map(() => gate());
    await Promise.all(rooms.map((room, i) => a.rooms.join(room, () => gates[i]!.opened)));
    const done: number[] = [];
    const ids: string[] = [];
    const all = Promise.all(rooms.map(async (room, i) => {
      const outcome = await sender.rooms.send(room, i, { await: 'acked' });
      expect(outcome).toMatchObject({ room, acknowledged: 1, ejected: [] });
      ids.push(outcome.id);
      done.push(i);
    }));
    for (const i of [5, 0, 11]) {
      gates[i]!.open();
      await waitUntil(() => done.includes(i), { what: `room ${i} is done` });
    }
    expect(done).toEqual([5, 0, 11]);
    for (const each of gates) each.open();
    await all;
    // One batch in one microsecond: an id is its room's own, and this test is about rooms that have the same.
    expect(new Set(ids).size).toBeLessThan(ids.length);
  });

  it('waits for messages of one sender in the order in which they were sent, awaited or not', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const seen = new Seen();
    const first = sender.rooms.send(room, 0, { await: 'acked' });
    const rest = [sender.rooms.send(room, 1), sender.rooms.send(room, 2, { await: 'acked' }), sender.rooms.send(room, 3)];
    await a.rooms.join(room, seen.handler());
    await Promise.all([first, ...rest]);
    await seen.calls(4);
    expect(seen.data).toEqual([0, 1, 2, 3]);
  });

  it('no longer than timeoutMs: the message stays sent, and its late outcome leaves nothing behind', async () => {
    const namespace = world().namespace();
    const [sender, a] = [world().peer({ namespace }), world().peer({ namespace })];
    const room = world().room();
    const held = gate();
    const seen = new Seen();
    await a.rooms.join(room, seen.handler(() => held.opened));
    const error = await failure<AckTimeoutError>(sender.rooms.send(room, 1, { await: 'acked', timeoutMs: 80 }));
    expect(error).toMatchObject({ code: 'ACK_TIMEOUT', room, id: seen.last.id, retriable: true });
    expect((await sender.rooms.state(room)).current?.id).toBe(error.id);
    const outcomes = (): Promise<unknown> => Promise.all(Array.from({ length: world().shards }, (_, shard) => world().cli(['EXISTS', keysOf(room, { namespace, shard }).outcomes])));
    held.open();
    await sender.idle(room);
    await waitUntil(async () => ((await outcomes()) as number[]).every((count) => count === 0), { what: 'the outcome nobody waits for is forgotten', timeoutMs: 5_000 });
    expect(seen.data).toEqual([1]);
  });

  it('hears of it although every word of it was lost', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    const seen = new Seen();
    await a.rooms.join(room, seen.handler(() => held.opened));
    const sent = sender.rooms.send(room, 1, { await: 'acked' });
    await seen.calls(1);
    // Outcomes are told where they are kept; who listens is cut off in this moment.
    held.open();
    await world().everywhere('CLIENT', 'KILL', 'TYPE', 'pubsub');
    expect(await sent).toMatchObject({ acknowledged: 1, ejected: [] });
  });

  it('is told when it stops before the end', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    const seen = new Seen();
    await a.rooms.join(room, seen.handler(() => held.opened));
    const sent = failure(sender.rooms.send(room, 1, { await: 'acked' }));
    await seen.calls(1);
    await sender.engine.stop();
    expect(await sent).toMatchObject({ code: 'CLOSED' });
    held.open();
    await a.idle(room);
  });
});

onTopologies(['standalone'], 'a sender that waits, and nobody else', (world) => {
  it('all members are dead: it takes them out itself, and says that nobody has acknowledged what is worn out', async () => {
    const namespace = world().namespace();
    const sender = world().peer({ namespace });
    const room = world().room();
    // Members that died: past their deadline, in the room, owing.
    const { sessions, state } = keysOf(room, { namespace });
    const tag = keysOf(room, { namespace }).tag;
    const sent = sender.rooms.send(room, 1, { await: 'acked' });
    await sender.sees(room, 'it waits', ({ backlog }) => backlog === 1);
    for (const session of ['x:1', 'y:1']) {
      await world().cli(['HSET', state, session, 0]);
      await world().cli(['HINCRBY', state, 'sync', 1]);
      await world().cli(['SADD', `${tag}:rooms:${session}`, room]);
      // Last: from now on who looks takes it out.
      await world().cli(['ZADD', sessions, Date.now() - 60_000, session]);
    }
    await sender.rooms.send(room, 2);
    expect((await sender.rooms.state(room)).members.map(({ session, lastSeen }) => [session, lastSeen]).sort()).toEqual([['x:1', undefined], ['y:1', undefined]]);
    await sender.sees(room, 'the dead are out, and both messages are kept', ({ members, backlog }) => members.length === 0 && backlog === 2, 20_000);
    const seen = new Seen();
    await world().peer({ namespace }).rooms.join(room, seen.handler());
    expect(await sent).toMatchObject({ acknowledged: 1 });
    await seen.calls(2);
    expect(seen.contexts.map(({ data, redelivery }) => [data, redelivery])).toEqual([[1, 1], [2, 0]]);
  });
});
