import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import type { EjectedSubscriber, RoomContext } from './support/engine.js';
import { gate, Seen, untilAborted } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { onTopologies } from './support/world.js';

// How a process is in a room, and what its subscribers are to each other, is the same on every topology.
onTopologies(['standalone'], 'the subscribers of one process', (world) => {
  it('many of one room: one acknowledgement, when all have acknowledged', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    const seen = Array.from({ length: 20 }, () => new Seen());
    const subscriptions = await Promise.all(seen.map((each, i) => a.rooms.join(room, each.handler(() => (i === 7 ? held.opened : undefined)))));
    expect((await sender.rooms.state(room)).members).toHaveLength(1);
    let acked = false;
    const outcome = sender.rooms.send(room, 1, { await: 'acked' }).then((result) => (acked = true, result));
    await Promise.all(seen.map((each) => each.calls(1)));
    expect((await sender.rooms.state(room)).owing).toHaveLength(1);
    expect(acked).toBe(false);
    held.open();
    expect(await outcome).toMatchObject({ acknowledged: 1, ejected: [] });
    expect(new Set(seen.map(({ last }) => last.subscriber)).size).toBe(20);
    expect(await a.rooms.metrics()).toMatchObject({ subscribers: 20, subscribedRooms: 1, received: 1 });
    await Promise.all(subscriptions.slice(1).map((subscription) => subscription.leave()));
    expect(await sender.rooms.send(room, 2, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
    expect(seen.map(({ contexts }) => contexts.length)).toEqual([2, ...Array.from({ length: 19 }, () => 1)]);
    await subscriptions[0]!.leave();
    await sender.sees(room, 'empty', ({ members }) => members.length === 0);
  });

  it('a local timeout ejects only the late one; it comes back with the next message once its handler has ended', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    const [late, others] = [new Seen(), [new Seen(), new Seen()]];
    const ejected: EjectedSubscriber[] = [];
    const joined: string[] = [];
    const subscription = await a.rooms.join(room, late.handler((_, n) => (n === 1 ? held.opened : undefined)), {
      ackTimeoutMs: 100, ejected: (event) => ejected.push(event), joined: ({ subscriber }) => joined.push(subscriber),
    });
    await Promise.all(others.map((each) => a.rooms.join(room, each.handler())));
    const first = await sender.rooms.send(room, 1, { await: 'acked' });
    expect(first).toMatchObject({ acknowledged: 1, ejected: [subscription.subscriber] });
    expect(ejected).toEqual([{ room, subscriber: subscription.subscriber, reason: 'timeout', messageId: first.id, rejoins: true }]);
    expect(a.all('room.ejected')).toHaveLength(1);
    expect(late.last.signal.reason).toMatchObject({ code: 'ROOM_EJECTED', reason: 'timeout', room, subscriber: subscription.subscriber });
    // Its handler still runs: it is shown nothing else, nobody waits for it, and its acknowledgement comes too late.
    late.last.ack();
    expect(await sender.rooms.send(room, 2, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
    expect([late.data, subscription.active]).toEqual([[1], true]);
    held.open();
    await waitUntil(() => joined.length === 2, { what: 'it is back' });
    await sender.rooms.send(room, 3, { await: 'acked' });
    expect([late.data, ...others.map(({ data }) => data)]).toEqual([[1, 3], [1, 2, 3], [1, 2, 3]]);
    expect(joined).toEqual([subscription.subscriber, subscription.subscriber]);
    expect(a.all('room.expelled')).toEqual([]);
  });

  it('ejected alone, whenEjected rejoin: the message is shown again, to it or to others; worn out, it becomes a dead letter', async () => {
    const namespace = world().namespace();
    const [sender, a] = [world().peer({ namespace, maxRedeliveries: 2 }), world().peer({ namespace, maxRedeliveries: 2 })];
    const room = world().room();
    const seen = new Seen();
    const subscription = await a.rooms.join(room, seen.handler(({ data }) => {
      if (data === 'poison') throw new Error('no');
    }), { onFailure: 'eject' });
    const poison = sender.rooms.send(room, 'poison', { await: 'acked', priority: 3, headers: { h: '1' } });
    await seen.calls(1);
    await sender.rooms.send(room, 'after', { priority: 4 });
    await seen.calls(4);
    expect(seen.contexts.map(({ data, redelivery, attempt }) => [data, redelivery, attempt])).toEqual([['poison', 0, 1], ['poison', 1, 1], ['poison', 2, 1], ['after', 0, 1]]);
    const { id, ejected, acknowledged } = await poison;
    expect([acknowledged, new Set(seen.ids.slice(0, 3))]).toEqual([0, new Set([id])]);
    expect(ejected).toHaveLength(1);
    await sender.idle(room);
    expect([a.all('room.redelivered').length, a.all('room.deadLettered').map((event) => event.id)]).toEqual([2, [id]]);
    expect(a.all('room.ejected').map(({ subscriber, reason, messageId }) => [subscriber, reason, messageId])).toEqual(Array.from({ length: 3 }, () => [subscription.subscriber, 'failed', id]));
    const letters = (await world().cli(['XRANGE', keysOf(room, { namespace }).dead, '-', '+'])) as Array<[string, string[]]>;
    expect(letters).toHaveLength(1);
    const fields = letters[0]![1];
    expect(Object.fromEntries(fields.flatMap((field, i) => (i % 2 === 0 ? [[field, fields[i + 1]]] : [])))).toMatchObject({ reason: 'all-ejected', room, id, priority: '3', tries: '3', entry: '"poison"\t{"h":"1"}' });
  });

  it('ejected alone, whenEjected leave: it stays out, and the message goes to whoever comes next, before those behind it', async () => {
    const [sender, a, b] = [world().peer(), world().peer(), world().peer()];
    const room = world().room();
    const [seenA, seenB] = [new Seen(), new Seen()];
    const subscription = await a.rooms.join(room, seenA.handler((context) => untilAborted(context)), { ackTimeoutMs: 60, whenEjected: 'leave' });
    const outcome = sender.rooms.send(room, 1, { await: 'acked' });
    await seenA.calls(1);
    await sender.rooms.send(room, 2);
    await sender.sees(room, 'nobody is in it', ({ members, backlog }) => members.length === 0 && backlog === 2);
    expect(subscription.active).toBe(false);
    expect(a.all('room.ejected')).toMatchObject([{ reason: 'timeout', rejoins: false }]);
    await b.rooms.join(room, seenB.handler());
    expect(await outcome).toMatchObject({ acknowledged: 1 });
    await sender.idle(room);
    expect([seenA.data, seenB.contexts.map(({ data, redelivery }) => [data, redelivery])]).toEqual([[1], [[1, 1], [2, 0]]]);
  });

  it('at most once: what its only subscriber was ejected over is not shown again', async () => {
    const fanout = { namespace: world().namespace(), delivery: 'at-most-once' } as const;
    const [sender, a] = [world().peer(fanout), world().peer(fanout)];
    const room = world().room();
    const seen = new Seen();
    await a.rooms.join(room, seen.handler(({ data }) => {
      if (data === 1) throw new Error('no');
    }), { onFailure: 'eject' });
    expect(await sender.rooms.send(room, 1, { await: 'acked' })).toMatchObject({ acknowledged: 0, ejected: [expect.any(String)] });
    expect(await sender.rooms.send(room, 2, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect(seen.data).toEqual([1, 2]);
    expect(await world().cli(['EXISTS', keysOf(room, { namespace: fanout.namespace }).dead])).toBe(0);
  });

  it('a message is acknowledged only by those who saw it: not by one who came while it was handled', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const failing = gate();
    const [first, second] = [new Seen(), new Seen()];
    await a.rooms.join(room, first.handler(async (_, n) => {
      if (n > 1) return;
      await failing.opened;
      throw new Error('no');
    }), { onFailure: 'eject', whenEjected: 'leave' });
    const outcome = sender.rooms.send(room, 1, { await: 'acked' });
    await first.calls(1);
    await a.rooms.join(room, second.handler());
    expect(second.data).toEqual([]);
    failing.open();
    // Nobody has acknowledged it, so the one who is there now is shown it.
    await second.calls(1, 3_000);
    expect(second.last).toMatchObject({ data: 1, redelivery: 1 });
    expect(await outcome).toMatchObject({ acknowledged: 1 });
  });

  it('onFailure nack-retry: again after a backoff that grows, then ejected; eject: at once; ack: reported, and counted as acknowledged', async () => {
    const sender = world().peer();
    const [retrying, ejecting, acking] = world().peers(3);
    const fails = (): never => { throw new Error('no luck'); };
    const others = async (room: string): Promise<void> => void (await sender.rooms.join(room, () => undefined));
    const [r, e, k] = [world().room(), world().room(), world().room()];
    const [seenR, seenE, seenK] = [new Seen(), new Seen(), new Seen()];
    const at: number[] = [];
    await Promise.all([r, e, k].map(others));
    await retrying!.rooms.join(r, seenR.handler((context) => (at.push(performance.now()), context.attempt === 4 ? fails() : Promise.reject(new Error('no luck')))), {
      retry: { maxAttempts: 4, initialMs: 20, factor: 2, jitter: 0 }, whenEjected: 'leave',
    });
    await ejecting!.rooms.join(e, seenE.handler(fails), { onFailure: 'eject', whenEjected: 'leave' });
    await acking!.rooms.join(k, seenK.handler(fails), { onFailure: 'ack' });
    const outcomes = await Promise.all([r, e, k].map((room) => sender.rooms.send(room, 1, { await: 'acked' })));
    expect(outcomes.map(({ acknowledged, ejected }) => [acknowledged, ejected.length])).toEqual([[1, 1], [1, 1], [2, 0]]);
    expect(seenR.contexts.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    const gaps = at.slice(1).map((time, i) => time - at[i]!);
    [20, 40, 80].forEach((due, i) => expect(gaps[i]).toBeGreaterThanOrEqual(due - 2));
    expect(retrying!.all('room.retried').map(({ attempt, delayMs, error }) => [attempt, delayMs, error.message])).toEqual([[1, 20, 'no luck'], [2, 40, 'no luck'], [3, 80, 'no luck']]);
    expect([seenE.contexts.length, seenK.contexts.length]).toEqual([1, 1]);
    for (const peer of [retrying, ejecting, acking]) expect(peer!.errors.map(({ message }) => message)).toEqual(['no luck']);
    expect([retrying, ejecting, acking].map((peer) => peer!.all('room.ejected').map(({ reason }) => reason))).toEqual([['failed'], ['failed'], []]);
  });

  it('a retry under way ends with the subscriber\'s time: the timeout counts all attempts', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const seen = new Seen();
    await sender.rooms.join(room, () => undefined);
    await a.rooms.join(room, seen.handler(() => Promise.reject(new Error('no'))), { ackTimeoutMs: 120, retry: { maxAttempts: 1_000, initialMs: 30, factor: 1, jitter: 0 }, whenEjected: 'leave' });
    expect(await sender.rooms.send(room, 1, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [expect.any(String)] });
    const calls = seen.contexts.length;
    expect(calls).toBeGreaterThan(1);
    expect(calls).toBeLessThanOrEqual(5);
    expect(a.all('room.ejected')).toMatchObject([{ reason: 'timeout' }]);
    await sender.rooms.send(room, 2, { await: 'acked' });
    expect(seen.contexts).toHaveLength(calls);
  });

  it('manual acknowledgement: ctx.ack() releases, before or after the handler has ended; twice is once', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    const seen = new Seen();
    await a.rooms.join(room, seen.handler((context) => {
      if (context.data !== 'early') return undefined;
      context.ack();
      return held.opened;
    }), { ack: 'manual' });
    await sender.rooms.send(room, 'late');
    await seen.calls(1);
    expect((await sender.rooms.state(room)).owing).toHaveLength(1);
    const late = seen.last;
    late.ack();
    late.ack();
    expect(await sender.rooms.send(room, 'early', { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    // The one before says it once more, which is nothing to the one after.
    const last = sender.rooms.send(room, 'last', { await: 'acked' });
    await seen.calls(3);
    late.ack();
    expect((await sender.rooms.state(room)).owing).toHaveLength(1);
    seen.last.ack();
    expect(await last).toMatchObject({ acknowledged: 1, ejected: [] });
    held.open();
  });

  it('a handler that fails after its own ctx.ack() is reported, and neither called again nor ejected; one that ends because it was aborted is not', async () => {
    const errors: string[] = [];
    const [sender, a] = [world().peer(), world().peer({}, { onError: (error) => void errors.push(error.message) })];
    const room = world().room();
    const seen = new Seen();
    const subscription = await a.rooms.join(room, seen.handler(async (context, n) => {
      if (n < 3) context.ack();
      if (n === 1) throw new Error('failed afterwards');
      if (n === 2) return untilAborted(context);
      throw new Error('failed');
    }), { onFailure: 'ack' });
    for (let n = 1; n <= 3; n++) expect(await sender.rooms.send(room, n, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
    await subscription.leave();
    await waitUntil(() => errors.length === 2, { what: 'both were reported' });
    expect([errors, seen.data]).toEqual([['failed afterwards', 'failed'], [1, 2, 3]]);
    expect([...a.all('room.retried'), ...a.all('room.ejected')]).toEqual([]);
  });

  it('manual acknowledgement that never comes: the signal of the message is aborted, and its time is not that of a later one', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const seen = new Seen();
    await sender.rooms.join(room, () => undefined);
    const subscription = await a.rooms.join(room, seen.handler(), { ack: 'manual', ackTimeoutMs: 300 });
    const { id } = await sender.rooms.send(room, 1);
    await seen.calls(1);
    await a.saw('room.ejected');
    expect(a.all('room.ejected')).toMatchObject([{ reason: 'timeout', messageId: id }]);
    expect(seen.contexts[0]!.signal.aborted).toBe(true);
    await a.saw('room.joined', 2);
    await sender.rooms.send(room, 2);
    await seen.calls(2);
    await subscription.leave();
    expect(seen.contexts[1]!.signal.aborted).toBe(true);
    expect(seen.contexts[1]!.signal.reason).toMatchObject({ reason: 'left' });
    expect(await sender.rooms.send(room, 3, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
  });

  it('async subscribers never hold a room back, handle one after the other, and drop the oldest beyond maxQueued', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    const slow = new Seen();
    let running = 0;
    let overlap = 0;
    const { subscriber } = await a.rooms.join(room, slow.handler(async (_, n) => {
      overlap = Math.max(overlap, ++running);
      if (n === 1) await held.opened;
      running--;
    }), { sync: false, maxQueued: 5 });
    await sender.rooms.join(room, () => undefined);
    const ids: string[] = [];
    for (let i = 0; i < 10; i++) ids.push((await sender.rooms.send(room, i, { await: 'acked' })).id);
    await waitUntil(() => a.all('room.dropped').length === 4, { what: 'the oldest were dropped' });
    expect(a.all('room.dropped').map((event) => [event.subscriber, event.id])).toEqual(ids.slice(1, 5).map((id) => [subscriber, id]));
    held.open();
    await slow.calls(6);
    expect([slow.data, overlap]).toEqual([[0, 5, 6, 7, 8, 9], 1]);
  });

  it('async and sync of one process: the room waits for the process as long as a sync one is in it', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const [listens, waitedFor] = [new Seen(), new Seen()];
    await a.rooms.join(room, listens.handler(), { sync: false });
    await sender.rooms.send(room, 'held');
    expect((await sender.rooms.state(room)).members.map(({ sync }) => sync)).toEqual([false]);
    const subscription = await a.rooms.join(room, waitedFor.handler());
    await waitedFor.calls(1);
    await listens.calls(1);
    expect((await sender.idle(room)).members.map(({ sync }) => sync)).toEqual([true]);
    await subscription.leave();
    expect((await sender.sees(room, 'async again', ({ members }) => members.every(({ sync }) => !sync))).members).toHaveLength(1);
    await sender.rooms.send(room, 'kept');
    expect((await sender.rooms.state(room)).backlog).toBe(1);
    await a.rooms.join(room, waitedFor.handler());
    await waitedFor.calls(2);
    await listens.calls(2);
    expect([listens.data, waitedFor.data]).toEqual([['held', 'kept'], ['held', 'kept']]);
  });

  it('a handler whose answer cannot be waited for has failed, and nothing else', async () => {
    const a = world().peer();
    const no = (): never => {
      throw new Error('not this one');
    };
    const answers = [no, () => no].map((get) => new Proxy({}, { get }));
    for (const answer of answers) {
      const room = world().room();
      const seen = new Seen();
      await a.rooms.join(room, seen.handler((_, n) => (n === 1 ? answer : undefined)), { retry: { initialMs: 1 } });
      expect(await a.rooms.send(room, 1, { await: 'acked', timeoutMs: 5_000 })).toMatchObject({ acknowledged: 1, ejected: [] });
      expect(seen.contexts.map(({ attempt }) => attempt)).toEqual([1, 2]);
    }
  });

  it('hooks that throw disturb nobody', async () => {
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const bad = (): never => { throw new Error('bad hook'); };
    await a.rooms.join(room, (_data: unknown, { redelivery }: RoomContext) => (redelivery === 0 ? bad() : undefined), { joined: bad, ejected: () => Promise.reject(new Error('bad hook')), onFailure: 'eject' });
    expect(await sender.rooms.send(room, 1, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect((await a.saw('hook.error', 3)).map(({ hook, error }) => [hook, error.message])).toEqual([['joined', 'bad hook'], ['ejected', 'bad hook'], ['joined', 'bad hook']]);
  });
});
