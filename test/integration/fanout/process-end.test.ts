import { setTimeout as sleep } from 'node:timers/promises';
import { readdirSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import { createRng, seedFromEnv } from '../../support/seed.js';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { type Child, Log, spawnChild } from './fixtures/child.js';
import { gate, Seen, untilAborted } from './support/handlers.js';
import { onTopologies } from './support/world.js';

const ENDS_WITHIN_MS = 2_000;
/** CHILDREN=200 looks longer. */
const CHILDREN = Number(process.env['CHILDREN'] ?? 10);
const AT_ONCE = 5;

/** Waits until its engine has stopped; from then on nothing may keep the process. */
async function endOf(child: Child, what: string): Promise<void> {
  await child.waitFor(({ type }) => type === 'stopped' || type === 'failed', 20_000, `its stop (${what})`);
  const ended = await Promise.race([child.exited, sleep(ENDS_WITHIN_MS, undefined)]);
  if (!ended) throw new Error(`${what}: still there ${ENDS_WITHIN_MS} ms after its engine's stop\n${child.output()}`);
  expect(ended, `${what}\n${child.output()}`).toEqual({ code: 0, signal: null });
}

onTopologies(['standalone'], 'the end of a process in rooms', (world) => {
  it('handlers that run end first, acknowledge, and then it leaves; nothing of it is left', async () => {
    const namespace = world().namespace();
    const [sender, a, b] = [world().peer({ namespace }), world().peer({ namespace }, { shutdown: { drainMs: 5_000 } }), world().peer({ namespace })];
    const rooms = [world().room(), world().room()] as const;
    const held = gate();
    const [seen, other] = [new Seen(), new Seen()];
    await Promise.all(rooms.map((room) => a.rooms.join(room, seen.handler(({ room: where }) => (where === rooms[0] ? held.opened : undefined)))));
    await a.rooms.join(rooms[0], () => undefined, { sync: false });
    await b.rooms.join(rooms[0], other.handler());
    const sent = sender.rooms.send(rooms[0], 1, { await: 'acked' });
    await seen.calls(1);
    const stopped = a.engine.stop();
    await sender.sees(rooms[1], 'it has left the one where nothing runs', ({ members }) => members.length === 0);
    await sender.sees(rooms[0], 'only the held one owes its acknowledgement', ({ owing }) => owing.length === 1);
    expect(seen.last.signal.aborted).toBe(false);
    held.open();
    expect(await sent).toMatchObject({ acknowledged: 2, ejected: [] });
    await stopped;
    expect((await sender.rooms.state(rooms[0])).members).toHaveLength(1);
    expect(await sender.rooms.send(rooms[0], 2, { await: 'acked' })).toMatchObject({ acknowledged: 1 });
    expect(seen.data).toEqual([1]);
    await expect(a.rooms.join(rooms[0], () => undefined)).rejects.toMatchObject({ code: 'CLOSED' });
    await Promise.all([b, sender].map(({ engine }) => engine.stop()));
    expect((await world().keysOf(namespace)).filter((key) => !key.includes(':sender:') && !key.includes(':outcomes:'))).toEqual([`{fanout:${namespace}:0}:fanout`]);
    for (const key of (await world().keysOf(namespace)).filter((each) => !each.endsWith(':fanout'))) expect(Number(await world().cli(['PTTL', key])), key).toBeGreaterThan(0);
  });

  it('a handler that does not end is aborted after drainMs, and what it owed goes to others', async () => {
    const [sender, a, b] = [world().peer(), world().peer({}, { shutdown: { drainMs: 150 } }), world().peer()];
    const room = world().room();
    const [seen, other] = [new Seen(), new Seen()];
    await a.rooms.join(room, seen.handler((context) => untilAborted(context)));
    await a.rooms.join(room, seen.handler(), { ack: 'manual' });
    const sent = sender.rooms.send(room, 1, { await: 'acked' });
    await seen.calls(2);
    await b.rooms.join(room, other.handler());
    const since = performance.now();
    await a.engine.stop();
    expect(performance.now() - since).toBeLessThan(150 + 4_000);
    expect(seen.contexts.map(({ signal }) => (signal.reason as { reason: string }).reason)).toEqual(['left', 'left']);
    expect(await sent).toMatchObject({ acknowledged: 1 });
    expect(other.contexts.map(({ data, redelivery }) => [data, redelivery])).toEqual([[1, 1]]);
  });

  it('a join that is under way when the stop comes ends with it: it joins, or is refused', async () => {
    const server = await world().serverOf('');
    const proxy = await startProxy(server.port);
    world().onEnd(() => proxy.stop());
    proxy.setFaults({ latencyMs: [10, 10] });
    const ends: string[] = [];
    for (let afterMs = 0; afterMs <= 1_000 && !ends.includes('joined'); afterMs += 10) {
      const peer = world().peer({}, { connection: { url: proxy.url } });
      const joins = [world().room(), world().room()].map((room) => peer.rooms.join(room, () => undefined).then(() => 'joined', (error: Error) => error.name));
      await sleep(afterMs);
      await peer.engine.stop();
      const ended = await Promise.race([Promise.all(joins), sleep(ENDS_WITHIN_MS, ['still joining'])]);
      expect(ended, `stopped after ${afterMs} ms`).not.toContain('still joining');
      ends.push(...ended);
    }
    expect(new Set(ends)).toEqual(new Set(['joined', 'ClosedError']));
  });

  it('ends by itself at any moment, while messages come, its connections break or are silent, and while it is stopped by signals', async () => {
    const rng = createRng(seedFromEnv('fanout process-end'));
    const server = await world().serverOf('');
    const log = new Log(world());
    const rooms = Array.from({ length: 3 }, () => world().room());
    let left = CHILDREN;
    const play = async (): Promise<void> => {
      while (left-- > 0) {
        const draw = rng.fork();
        const proxy = await startProxy(server.port, { seed: draw.seed });
        if (draw.chance(0.6)) proxy.setFaults({ latencyMs: [0, draw.int(0, 15)], ...(draw.chance(0.5) ? { lifetimeMs: [30, 800], halfOpenChance: 0.1 } : {}) });
        const ttlMs = draw.pick([300, 600, 1_000]);
        const child = spawnChild(world(), log, {
          rooms, tuning: { ack: draw.chance(0.3) ? 'manual' : 'auto', ackTimeoutMs: 20_000 }, sendEveryMs: 30,
          options: { connection: { url: proxy.url }, session: { ttlMs }, commandTimeoutMs: 500 },
        });
        const done = [`seed ${draw.seed}`, `ttl ${ttlMs}`];
        const step = async (name: string, ms: number): Promise<void> => (done.push(`${name} ${ms} ms`), sleep(ms));
        await child.waitFor(({ type }) => type === 'connection.ready', 15_000, 'its first connection');
        await step('ran', draw.int(0, 500));
        for (let faults = draw.int(0, 2); faults > 0; faults--) {
          if (draw.chance(0.4)) {
            child.stopProcess();
            await step('SIGSTOP', draw.int(50, 2 * ttlMs));
            child.continue();
          } else {
            done.push('cut');
            proxy.cutAll();
          }
          await step('ran', draw.int(0, draw.chance(0.5) ? 30 : 300));
        }
        child.send('stop');
        if (draw.chance(0.4)) {
          await step('stopping', draw.int(0, 30));
          if (draw.chance(0.5)) proxy.cutAll();
          else proxy.blackhole(true);
          done.push('faults at the end');
        }
        try {
          await endOf(child, done.join(', '));
        } finally {
          await child.kill();
          await proxy.stop();
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, play));
  }, 60_000 + CHILDREN * 2_000);

  it('keeps no timer for what was sent when it had stopped all else, and is nobody\'s to look after', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const [sender, a] = [world().peer(), world().peer()];
    const room = world().room();
    const held = gate();
    await a.rooms.join(room, () => held.opened);
    const before = timers();
    await sender.engine.start();
    await sender.engine.drain();
    const looks = (await sender.rooms.stores()).map((store) => vi.spyOn(store, 'look'));
    const sent = sender.rooms.send(room, 1, { await: 'acked' }).catch((error: { code?: string }) => error.code);
    await waitUntil(() => looks.some(({ mock }) => mock.settledResults.some(({ type }) => type === 'fulfilled')), { what: 'the sender has looked after the room' });
    await sender.engine.stop();
    expect(await sent).toBe('CLOSED');
    await waitUntil(() => timers() <= before, { what: `no more than ${before} timers`, timeoutMs: 500 });
    held.open();
  });

  it('keeps no descriptor and no timer, however often it comes and goes', async () => {
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const round = async (): Promise<void> => {
      const [sender, a] = [world().peer(), world().peer()];
      const room = world().room();
      await a.rooms.join(room, () => undefined, { ack: 'auto' });
      const listening = await a.rooms.join(room, () => undefined, { sync: false });
      await sender.rooms.send(room, 1, { await: 'acked', timeoutMs: 60_000 });
      await listening.leave();
      await Promise.all([sender.engine.stop(), a.engine.stop()]);
    };
    await round();
    const before = [descriptors(), timers()] as const;
    for (let i = 0; i < 8; i++) await round();
    await waitUntil(() => descriptors() <= before[0] + 1 && timers() <= before[1] + 1, { what: `no more than ${before.join(' descriptors and ')} timers`, timeoutMs: 3_000 });
  });
});
