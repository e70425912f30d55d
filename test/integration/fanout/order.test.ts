import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { percentile } from '../../support/percentile.js';
import { createRng, seedFromEnv } from '../../support/seed.js';
import { waitUntil } from '../../support/wait.js';
import type { RoomSubscription } from './support/engine.js';
import { gate, Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { Lockstep } from './support/lockstep.js';
import { BOTH, onTopologies } from './support/world.js';

onTopologies(BOTH, 'the order of a room', (world) => {
  it('hold: everything sent before the first subscriber waits for it; lower priorities first, and first come first within one', async () => {
    const [sender, a] = world().peers(2) as [ReturnType<ReturnType<typeof world>['peer']>, ReturnType<ReturnType<typeof world>['peer']>];
    const room = world().room();
    const sent: Array<[string, number]> = [];
    for (let i = 0; i < 60; i++) sent.push([`m${i}`, [5, -3, 0, 5, 9_007_199_254_740_991, -9_007_199_254_740_991][i % 6]!]);
    await Promise.all(sent.map(([data, priority]) => sender.rooms.send(room, data, { priority })));
    const due = [...sent].sort(([, x], [, y]) => x - y);
    expect((await sender.rooms.peek(room)).map(({ data, priority }) => [data, priority])).toEqual(due);
    const seen = new Seen();
    await a.rooms.join(room, seen.handler());
    await seen.calls(60);
    expect(seen.contexts.map(({ data, priority }) => [data, priority])).toEqual(due);
    expect(new Set(seen.ids).size).toBe(60);
  });

  it('pass: without sync subscribers messages go by, to whoever listens; nothing is kept', async () => {
    const fanout = { whenEmpty: 'pass', namespace: world().namespace() } as const;
    const [sender, a] = [world().peer(fanout), world().peer(fanout)];
    const room = world().room();
    expect(await sender.rooms.send(room, 'nobody', { await: 'acked' })).toMatchObject({ acknowledged: 0, ejected: [] });
    const seen = new Seen();
    await a.rooms.join(room, seen.handler(), { sync: false });
    await sender.rooms.send(room, 'heard');
    await seen.calls(1);
    const listening = new Seen();
    await a.rooms.join(room, listening.handler());
    expect(await sender.rooms.send(room, 'waited for', { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect([seen.data, listening.data]).toEqual([['heard', 'waited for'], ['waited for']]);
    expect((await sender.idle(room)).members).toHaveLength(1);
  });

  it('1,000 equal payloads in one moment are 1,000 deliveries to everybody, under ids of their own', async () => {
    const [sender, a, b] = [world().peer(), world().peer(), world().peer()];
    const room = world().room();
    const [seenA, seenB] = [new Seen(), new Seen()];
    await Promise.all([a.rooms.join(room, seenA.handler()), b.rooms.join(room, seenB.handler())]);
    const sent = await Promise.all(Array.from({ length: 1_000 }, () => sender.rooms.send(room, { tick: 1 })));
    await Promise.all([seenA.calls(1_000, 20_000), seenB.calls(1_000, 20_000)]);
    expect(new Set(sent.map(({ id }) => id)).size).toBe(1_000);
    expect(seenA.ids).toEqual(sent.map(({ id }) => id));
    expect(seenB.ids).toEqual(seenA.ids);
    await sender.idle(room);
    expect([seenA.contexts.length, seenB.contexts.length]).toEqual([1_000, 1_000]);
  });

  it('lock-step: nobody is shown a message before all have done with the one before, whoever comes, goes, or fails', async () => {
    const rng = createRng(seedFromEnv('fanout lock-step'));
    const sender = world().peer();
    const members = world().peers(3);
    const rooms = Array.from({ length: 4 }, () => world().room());
    await Promise.all(rooms.map(async (room) => {
      const draw = rng.fork();
      const judge = new Lockstep();
      const steady = members.map(() => new Seen());
      const handling = (who: string, seen: Seen): ReturnType<Seen['handler']> => {
        const delays = draw.fork();
        return seen.handler(async (context) => {
          judge.begin(who, context);
          if (delays.chance(0.1)) context.signal.addEventListener('abort', () => judge.out(who));
          await sleep(delays.chance(0.3) ? 0 : delays.int(0, 6));
          if (delays.chance(0.1)) throw new Error('once more');
          judge.end(who, context);
        });
      };
      const tuning = { retry: { maxAttempts: 100, initialMs: 1, maxMs: 3 } };
      await Promise.all(members.map(async ({ rooms: client }, i) => {
        await client.join(room, handling(`steady ${i}`, steady[i]!), tuning);
        judge.stays(`steady ${i}`);
      }));
      let over = false;
      const comesAndGoes = (async () => {
        for (let i = 0; !over; i++) {
          const who = `guest ${i}`;
          const subscription: RoomSubscription = await draw.pick(members).rooms.join(room, handling(who, new Seen()), tuning);
          await sleep(draw.int(0, 20));
          judge.out(who);
          await subscription.leave();
          judge.out(who);
        }
      })();
      const sent: string[] = [];
      for (let i = 0; i < 60; i++) {
        sent.push((await sender.rooms.send(room, i)).id);
        if (draw.chance(0.2)) await sleep(draw.int(0, 10));
      }
      const distinct = (seen: Seen): string[] => [...new Set(seen.ids)];
      await waitUntil(() => steady.every((seen) => distinct(seen).length === 60), { what: `all have seen all of ${room}`, timeoutMs: 30_000 });
      over = true;
      await comesAndGoes;
      expect([...judge.violations], room).toEqual([]);
      expect(judge.order).toEqual(sent);
      for (const seen of steady) expect(distinct(seen)).toEqual(sent);
    }));
  });

  it('a late joiner begins with the next message; who leaves while it owes is not waited for', async () => {
    const [sender, a, b] = [world().peer(), world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    const [seenA, seenB] = [new Seen(), new Seen()];
    const first = await a.rooms.join(room, seenA.handler(() => held.opened));
    const outcome = sender.rooms.send(room, 1, { await: 'acked' });
    await seenA.calls(1);
    await sender.rooms.send(room, 2);
    await b.rooms.join(room, seenB.handler());
    expect(seenB.data).toEqual([]);
    const { current, owing, backlog } = await sender.rooms.state(room);
    expect([current?.data, owing.length, backlog]).toEqual([1, 1, 1]);
    await first.leave();
    expect(first.active).toBe(false);
    expect(seenA.last.signal.aborted).toBe(true);
    expect(seenA.last.signal.reason).toMatchObject({ code: 'ROOM_EJECTED', reason: 'left' });
    // Nobody has acknowledged the first: it goes to whoever is there now, in its place.
    await seenB.calls(2);
    expect(seenB.contexts.map(({ data, redelivery }) => [data, redelivery])).toEqual([[1, 1], [2, 0]]);
    expect(await outcome).toMatchObject({ acknowledged: 1 });
    held.open();
    expect(seenA.data).toEqual([1]);
  });

  it('a late word of the message before it, or one said twice, is shown to no late joiner, and acknowledges nothing', async () => {
    const fanout = { namespace: world().namespace(), shards: 1 };
    const [sender, a, b, c] = [world().peer(fanout), world().peer(fanout), world().peer(fanout), world().peer(fanout)];
    const room = world().room();
    const held = gate();
    const [first, ...late] = [new Seen(), new Seen(), new Seen(), new Seen()] as [Seen, Seen, Seen, Seen];
    await a.rooms.join(room, first.handler(({ data }) => (data === 1 ? held.opened : undefined)));
    const sent = sender.rooms.send(room, 1, { await: 'acked' });
    await first.calls(1);
    await b.rooms.join(room, late[0]!.handler());
    await b.rooms.join(room, late[1]!.handler());
    await c.rooms.join(room, late[2]!.handler(), { sync: false });
    const { state } = keysOf(room, fanout);
    const text = String(await world().cli(['HGET', state, 'text']));
    const id = /^m\d+ \S+ (\d+) /.exec(text)![1];
    for (let n = 0; n < 3; n++) await world().cli(['SPUBLISH', state, text]);
    // Behind it in the same channel.
    const told = [first, ...late].map((seen) => seen.calls(seen === first ? 2 : 1));
    await sender.rooms.sendOutOfBand(room, 'told');
    await Promise.all(told);
    expect(await sender.rooms.state(room)).toMatchObject({ current: { id }, owing: [expect.any(String)] });
    held.open();
    expect(await sent).toMatchObject({ acknowledged: 1, ejected: [] });
    expect(await sender.rooms.send(room, 2, { await: 'acked' })).toMatchObject({ acknowledged: 2, ejected: [] });
    await late[2]!.calls(2);
    expect([first.data, ...late.map(({ data }) => data)]).toEqual([[1, 'told', 2], ...late.map(() => ['told', 2])]);
    expect((await b.rooms.metrics()).invalid).toBe(0);
  });

  it('who leaves while others owe, or have acknowledged, changes nothing for them', async () => {
    const [sender, a, b] = [world().peer(), world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    const [seenA, seenB] = [new Seen(), new Seen()];
    const leaver = await a.rooms.join(room, seenA.handler(() => held.opened));
    await b.rooms.join(room, seenB.handler());
    const outcome = sender.rooms.send(room, 1, { await: 'acked' });
    await Promise.all([seenA.calls(1), seenB.calls(1)]);
    const [session] = (await sender.sees(room, 'one owes', ({ owing }) => owing.length === 1)).owing;
    await leaver.leave();
    expect(await outcome).toMatchObject({ acknowledged: 1, ejected: [session] });
    expect(await sender.rooms.send(room, 2, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
    held.open();
    expect([seenA.data, seenB.data]).toEqual([[1], [1, 2]]);
  });

  it('out of band: at once, to all, while the room is blocked; its acknowledgements are nothing to the room', async () => {
    const [sender, a, b] = [world().peer(), world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    const took: number[] = [];
    const inBand = new Seen();
    const handler = inBand.handler((context) => {
      if (!context.outOfBand) return held.opened;
      took.push(performance.now() - (context.data as { at: number }).at);
      context.ack();
      return undefined;
    });
    const listener = new Seen();
    await Promise.all([a.rooms.join(room, handler), b.rooms.join(room, listener.handler(({ outOfBand }) => (outOfBand ? undefined : held.opened)))]);
    await sender.rooms.send(room, 'blocks');
    await waitUntil(() => inBand.contexts.length === 1 && listener.contexts.length === 1, { what: 'the room is blocked' });
    await sender.rooms.send(room, 'waits');
    for (let i = 0; i < 200; i++) {
      await sender.rooms.sendOutOfBand(room, { at: performance.now() }, { headers: { n: String(i) } });
      if (i % 10 === 0) await sleep(1);
    }
    await waitUntil(() => took.length === 200 && listener.contexts.length === 201, { what: 'all are there' });
    expect(percentile(took, 99)).toBeLessThan(1_000);
    expect(listener.contexts.slice(1).map(({ headers }) => headers['n'])).toEqual(Array.from({ length: 200 }, (_, i) => String(i)));
    expect(listener.last).toMatchObject({ outOfBand: true, priority: 0, redelivery: 0, sentAt: 0, attempt: 1 });
    const { owing, current, backlog } = await sender.rooms.state(room);
    expect([owing.length, current?.data, backlog]).toEqual([2, 'blocks', 1]);
    held.open();
    await sender.idle(room);
    expect(inBand.contexts.filter(({ outOfBand }) => !outOfBand).map(({ data }) => data)).toEqual(['blocks', 'waits']);
  });
});
