import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { gate, Seen } from './support/handlers.js';
import { storeOf } from './support/store.js';
import { BOTH, onTopologies } from './support/world.js';

const AHEAD = 5;

/** How the only one of its process that was shown a message goes away without acknowledging it. */
const WAYS = {
  leaves: {},
  fails: { onFailure: 'eject', whenEjected: 'leave' },
  'is late': { ackTimeoutMs: 300, whenEjected: 'leave' },
  'fails and comes back': { onFailure: 'eject', whenEjected: 'rejoin' },
} as const;

onTopologies(BOTH, 'who joined while another of the process was still to acknowledge', (world) => {
  it.each(Object.keys(WAYS).flatMap((how) => [false, true].map((listener) => [how as keyof typeof WAYS, listener] as const)))(
    'misses nothing when that one %s, and is waited for (one who listens besides: %s)',
    async (how, listener) => {
      const [sender, here, other] = world().peers(3);
      const room = world().room();
      const failing = gate();
      const [owing, bystander, elsewhere] = [new Seen(), new Seen(), new Seen()];
      const order: string[] = [];
      if (listener) await here!.rooms.join(room, () => undefined, { sync: false });
      const first = await here!.rooms.join(room, owing.handler(async ({ signal }, n) => {
        if (n > 1) return;
        signal.addEventListener('abort', failing.open);
        await failing.opened;
        throw new Error('no');
      }), WAYS[how]);
      await other!.rooms.join(room, elsewhere.handler(({ data }) => void order.push(`${String(data)} elsewhere`)));
      await sender!.rooms.send(room, 0);
      await Promise.all([owing.calls(1), elsewhere.calls(1)]);
      await here!.rooms.join(room, bystander.handler(async ({ data }) => {
        await sleep(20);
        order.push(`${String(data)} here`);
      }));
      for (let n = 1; n <= AHEAD; n++) await sender!.rooms.send(room, n);
      if (how === 'leaves') await first.leave();
      else if (how !== 'is late') failing.open();
      expect(await sender!.rooms.send(room, AHEAD + 1, { await: 'acked' })).toMatchObject({ acknowledged: 2, ejected: [] });
      const numbers = Array.from({ length: AHEAD + 1 }, (_, i) => i + 1);
      expect(bystander.data).toEqual(numbers);
      expect(elsewhere.data).toEqual([0, ...numbers]);
      // In lock-step: nobody is shown a message before both have acknowledged the one before.
      expect(order.filter((line) => !line.startsWith('0')).map((line) => Number.parseInt(line, 10))).toEqual(numbers.flatMap((n) => [n, n]));
      expect(here!.all('room.ejected').filter(({ subscriber }) => subscriber === bystander.last.subscriber)).toEqual([]);
      if (how === 'fails and comes back') expect(owing.data).toEqual([0, ...numbers]);
    },
  );

  it('is not called when the handler of another has just ended its subscription', async () => {
    const [sender, here] = world().peers(2);
    const room = world().room();
    const calls: string[] = [];
    const kicked: Array<{ leave(): Promise<void> }> = [];
    await here!.rooms.join(room, () => {
      calls.push('first');
      void kicked[0]!.leave();
    });
    kicked.push(await here!.rooms.join(room, () => void calls.push('second')));
    expect(await sender!.rooms.send(room, 1, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect(calls).toEqual(['first']);
  });
});

onTopologies(['standalone'], 'a message that one process does not see through', (world) => {
  it('is accounted for once, however often and late it is said; the process stays a member, and owes the next', async () => {
    const { store, session, send, current, turnOf, owing } = await storeOf(world());
    const [a, b] = [await session('a'), await session('b')];
    const room = world().room();
    for (const each of [a, b]) await store.join(each, [{ room, sync: true }]);
    const [m1, m2] = (await send(room, 1, 2)) as [string, string];
    expect(await current(room)).toBe(m1);
    const one = turnOf(m1);
    const forgo = async (turn: number) => (await store.leave(a, [{ room, forgone: turn }]))[0]!;
    await forgo(one - 1);
    expect([await current(room), await owing(room)]).toEqual([m1, [a, b]]);
    for (let i = 0; i < 2; i++) {
      expect(await forgo(one)).toMatchObject({ isOut: false });
      expect([await current(room), await owing(room)]).toEqual([m1, [b]]);
    }
    expect(await store.acknowledge(a, [{ room, turn: one, ejected: [] }])).toEqual([0]);
    await store.acknowledge(b, [{ room, turn: one, ejected: [] }]);
    expect([await current(room), await owing(room)]).toEqual([m2, [a, b]]);
    await forgo(one);
    expect([await current(room), await owing(room)]).toEqual([m2, [a, b]]);
    // By all of them: back to its place, and they are shown it again.
    const two = turnOf(m2);
    await store.leave(b, [{ room, forgone: two }]);
    expect(await forgo(two)).toMatchObject({ redelivered: m2, isOut: false });
    expect([await current(room), await owing(room)]).toEqual([m2, [a, b]]);
    expect(turnOf(m2)).toBeGreaterThan(two);
    await store.leave(a, [{ room }]);
    expect(await forgo(turnOf(m2))).toMatchObject({ isOut: true });
    expect(await owing(room)).toEqual([b]);
  });

  it('is let go of for sure, though connections break all the while; nobody who stays misses one', async () => {
    const server = await world().serverOf('');
    const proxy = await startProxy(server.port);
    world().onEnd(() => proxy.stop());
    const [sender, other] = world().peers(2);
    const here = world().peer({}, { connection: { url: proxy.url } });
    const room = world().room();
    const [elsewhere, staying] = [new Seen(), new Seen()];
    await other!.rooms.join(room, elsewhere.handler());
    let n = 0;
    for (let round = 0; round < 25; round++) {
      const stuck = new Seen();
      const first = await here.rooms.join(room, stuck.handler(() => new Promise(() => undefined)));
      await sender!.rooms.send(room, ++n);
      await stuck.calls(1);
      const from = n;
      const second = await here.rooms.join(room, staying.handler());
      await sender!.rooms.send(room, ++n);
      const left = first.leave();
      proxy.cutAll();
      await left;
      await waitUntil(() => elsewhere.data.at(-1) === n, { what: `round ${round}: the room goes on` });
      await staying.calls(round + 1);
      expect(staying.last.data, `round ${round}`).toBe(from + 1);
      await second.leave();
    }
  });
});
