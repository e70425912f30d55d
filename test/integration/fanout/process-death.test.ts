import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { Log, startChild } from './fixtures/child.js';
import { Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { onTopologies } from './support/world.js';

const TTL_MS = 600;

onTopologies(['standalone'], 'processes in a room', (world) => {
  it('one is killed, one is stopped past its deadline: the room goes on soon after the deadline, and the stopped one comes back', async () => {
    const log = new Log(world());
    const room = world().room();
    const options = { session: { ttlMs: TTL_MS }, shutdown: { drainMs: 300 } };
    const a = world().peer({}, { session: { ttlMs: TTL_MS } });
    const seen = new Seen();
    await a.rooms.join(room, seen.handler());
    const [killed, stopped] = await Promise.all(['killed', 'stopped'].map((consumerName) => startChild(world(), log, { rooms: [room], options: { ...options, consumerName } })));
    expect(await a.rooms.send(room, { n: 0 }, { await: 'acked' })).toMatchObject({ acknowledged: 3 });
    let since = performance.now();
    const first = a.rooms.send(room, { n: 1, how: 'hang', on: 'killed' }, { await: 'acked' });
    await waitUntil(() => log.lines('killed', 'begin').some(({ n }) => n === 1), { what: 'it handles the message that it dies over' });
    await killed!.kill();
    expect(await first).toMatchObject({ acknowledged: 2, ejected: [expect.stringMatching(/^killed:/)] });
    expect(performance.now() - since).toBeLessThan(TTL_MS + 3_000);
    stopped!.stopProcess();
    since = performance.now();
    expect(await a.rooms.send(room, { n: 2 }, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [expect.stringMatching(/^stopped:/)] });
    expect(performance.now() - since).toBeLessThan(TTL_MS + 3_000);
    expect(await a.rooms.send(room, { n: 3 }, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
    stopped!.continue();
    await stopped!.waitFor(({ type, reason }) => type === 'room.ejected' && reason === 'session-lost', 5_000, 'its ejection');
    await a.sees(room, 'it is back', ({ members }) => members.filter(({ sync }) => sync).length === 2);
    expect(await a.rooms.send(room, { n: 4 }, { await: 'acked' })).toMatchObject({ acknowledged: 2, ejected: [] });
    expect(seen.data.map((data) => (data as { n: number }).n)).toEqual([0, 1, 2, 3, 4]);
    // What was sent while it was stopped, it has missed or was told too late: never out of order, nothing twice.
    const told = log.lines('stopped', 'begin').map(({ n }) => n);
    expect(told).toEqual([...new Set(told)].sort((x, y) => x - y));
    expect(told.filter((n) => n !== 2 && n !== 3)).toEqual([0, 1, 4]);
    // The first one may have been buried by the second, which lived then.
    expect(a.all('room.expelled').map(({ reason, session }) => [reason, session.split(':')[0]])).toEqual(expect.arrayContaining([['dead', 'stopped']]));
  });

  it('all are killed: a process that only sends takes them out, and the next subscriber is shown what nobody acknowledged', async () => {
    const log = new Log(world());
    const namespace = world().namespace();
    const room = world().room();
    const options = { session: { ttlMs: TTL_MS }, fanout: { namespace } };
    const children = await Promise.all(['x', 'y'].map((consumerName) => startChild(world(), log, { rooms: [room], options: { ...options, consumerName } })));
    const sender = world().peer({ namespace });
    const sent = sender.rooms.send(room, { n: 1, how: 'hang' }, { await: 'acked' });
    await waitUntil(() => log.lines(undefined, 'begin').length === 2, { what: 'both handle it' });
    await Promise.all(children.map((child) => child.kill()));
    await sender.sees(room, 'nobody is in it', ({ members, current, backlog }) => members.length === 0 && !current && backlog === 1, TTL_MS + 4_000);
    const seen = new Seen();
    const a = world().peer({ namespace });
    await a.rooms.join(room, seen.handler());
    expect((await sent).acknowledged).toBe(1);
    expect(seen.contexts.map(({ redelivery }) => redelivery)).toEqual([1]);
    await a.engine.stop();
    // Of the dead nothing is left either.
    expect((await world().keysOf(namespace)).filter((key) => !key.includes(':sender:') && !key.endsWith(':fanout') && !key.includes(':outcomes:'))).toEqual([]);
  });

  it('many died at once: who looks takes all of them out, not some at each heartbeat', async () => {
    const namespace = world().namespace();
    const room = world().room();
    const { tag, sessions, state } = keysOf(room, { namespace });
    const dead = Array.from({ length: 250 }, (_, n) => `dead:${n}`);
    await world().cli(['ZADD', sessions, ...dead.flatMap((session) => [Date.now() - 60_000, session])]);
    await world().cli(['HSET', state, 'sync', dead.length, ...dead.flatMap((session) => [session, 0])]);
    for (const session of dead) await world().cli(['SADD', `${tag}:rooms:${session}`, room]);
    // Its next heartbeat is long after this test.
    const a = world().peer({ namespace }, { session: { ttlMs: 120_000 } });
    await a.rooms.join(room, () => undefined);
    await a.sees(room, 'all the dead are out', ({ members }) => members.length === 1, 5_000);
    expect(await a.rooms.send(room, 1, { await: 'acked' })).toMatchObject({ acknowledged: 1, ejected: [] });
  });

  it('several die one after the other: each is out at its own deadline, not at a heartbeat behind it', async () => {
    const namespace = world().namespace();
    const room = world().room();
    const { tag, sessions, state } = keysOf(room, { namespace });
    const dying = ['dying:1', 'dying:2', 'dying:3'];
    const now = Date.now();
    await world().cli(['ZADD', sessions, ...dying.flatMap((session, i) => [now + 500 * (i + 1), session])]);
    await world().cli(['HSET', state, 'sync', dying.length, ...dying.flatMap((session) => [session, 0])]);
    for (const session of dying) await world().cli(['SADD', `${tag}:rooms:${session}`, room]);
    const a = world().peer({ namespace }, { session: { ttlMs: 120_000 } }); // beats every 40 s
    await a.rooms.join(room, () => undefined);
    expect(await a.rooms.send(room, 1, { await: 'acked', timeoutMs: 8_000 })).toMatchObject({ acknowledged: 1, ejected: dying });
  });

  it('one does not answer, and beats seldom, as all do: it is out when the room\'s time is over, not at a heartbeat behind it', async () => {
    const log = new Log(world());
    const namespace = world().namespace();
    const room = world().room();
    const fanout = { namespace, ackTimeoutMs: 300 };
    const session = { ttlMs: 120_000 };
    const a = world().peer(fanout, { session });
    await a.rooms.join(room, () => undefined);
    const stopped = await startChild(world(), log, { rooms: [room], options: { session, fanout, consumerName: 'stopped' } });
    expect(await a.rooms.send(room, { n: 0 }, { await: 'acked' })).toMatchObject({ acknowledged: 2 });
    stopped.stopProcess();
    expect(await a.rooms.send(room, { n: 1 }, { await: 'acked', timeoutMs: 8_000 })).toMatchObject({ acknowledged: 1, ejected: [expect.stringMatching(/^stopped:/)] });
    stopped.continue();
  });
});
