import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { startProxy } from '../../support/tcp-proxy.js';
import { waitUntil } from '../../support/wait.js';
import { BackpressureError, ConnectionError, type RedisStreamsError, type SentMessage } from './support/engine.js';
import { failure } from '../support/failure.js';
import { gate, messages, Runs } from './support/handlers.js';
import { caughtUp, keysOf } from './support/keys.js';
import { onTopologies } from './support/world.js';

const ids = (sent: readonly SentMessage[]): string[] => sent.map(({ partition, id }) => `${partition}/${id}`).sort();
const long = { session: { ttlMs: 6_000, heartbeatMs: 300 } };
const ref = (stream: string) => ({ stream, group: 'group' });

onTopologies(['standalone'], 'faults of one server of its own', (world) => {
  async function ownServer(...args: string[]): Promise<RedisServer> {
    const dir = await mkdtemp(join(tmpdir(), 'nrs-own-'));
    const server = await startRedis({ dir, args });
    world().onEnd(async () => {
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    });
    return server;
  }

  it('a restart with its log (AOF): nothing that was sent is lost, nothing committed runs again', async () => {
    const server = await ownServer('--appendonly', 'yes', '--appendfsync', 'always');
    const engine = { connection: { url: server.url }, ...long };
    const client = world().engine(engine).partitions();
    const stream = world().name();
    await client.register({ name: stream, partitions: 3 });
    const runs = new Runs();
    const hold = gate();
    const a = await world().consumer(stream, runs.handler(({ data }) => (data === 'held' ? hold.opened : undefined)), { engine });
    await a.owns(3);
    await client.sendMany(stream, messages(60, 20));
    await waitUntil(async () => (await client.lag(ref(stream))).every(({ lag }) => lag === 0), { what: 'all are committed' });
    const held = await client.send(stream, { data: 'held', partition: 0 });
    await waitUntil(() => runs.contexts.length === 61, { what: 'one runs' });
    const session = a.session;
    await server.kill();
    const sending = client.sendMany(stream, messages(30, 20, 60));
    await server.restart();
    const sent = await sending;
    hold.open();
    await waitUntil(async () => (await client.lag(ref(stream))).every(({ lag }) => lag === 0), { what: 'all are committed' });
    expect(runs.ids.slice(60).sort()).toEqual(ids([held, ...sent]));
    expect(a.session).toBe(session);
    await a.saw('reader.error');
    await a.saw('reader.recovered');
  });

  it('out of memory: sends are refused with a typed error, commits and heartbeats go on; and again when there is memory', async () => {
    const server = await ownServer('--maxmemory-policy', 'noeviction');
    const engine = { connection: { url: server.url }, ...long };
    const client = world().engine(engine).partitions();
    const stream = world().name();
    await client.register({ name: stream, partitions: 2 });
    const runs = new Runs();
    const hold = gate();
    const a = await world().consumer(stream, runs.handler((context) => (runs.contexts.length <= 2 ? hold.opened : context.data === 'bad' ? Promise.reject(new Error('bad')) : undefined)), { engine, retry: { maxAttempts: 1 } });
    await a.owns(2);
    await client.sendMany(stream, [...Array.from({ length: 20 }, (_, i) => ({ data: `m${i}`, partition: i % 2 })), { data: 'bad', partition: 0 }]);
    await waitUntil(() => runs.contexts.length === 2, { what: 'one of each runs' });
    await server.cli('CONFIG', 'SET', 'maxmemory', 1);
    const refused = await failure<RedisStreamsError>(client.send(stream, { data: 'no room' }));
    expect(refused).toBeInstanceOf(BackpressureError);
    expect(refused).toMatchObject({ code: 'BACKPRESSURE', retriable: true });
    expect(refused.message).toMatch(/Redis.*memory/);
    hold.open();
    await waitUntil(async () => (await client.lag(ref(stream))).every(({ lag }) => lag === 0), { what: 'all are committed' });
    await a.saw('session.renewed', a.all('session.renewed').length + 3);
    expect(await client.deadLetters(ref(stream))).toHaveLength(1);
    await client.pause(ref(stream), [0]);
    await client.seek(ref(stream), 'latest');
    await waitUntil(() => a.owned.length === 2, { what: 'a seek works, too' });
    expect(a.all('session.lost')).toEqual([]);
    await a.stop();
    expect(Number(await server.cli('ZCARD', keysOf(stream).sessions))).toBe(0);
    await server.cli('CONFIG', 'SET', 'maxmemory', 0);
    await client.send(stream, { data: 'room again' });
  });

  it('gone for longer than a send may take: ConnectionError after 15 s, says that the outcome is unknown; the next send works when it is back', async () => {
    const server = await ownServer('--appendonly', 'yes', '--appendfsync', 'always');
    const engine = { connection: { url: server.url }, ...long };
    const client = world().engine(engine).partitions();
    const stream = world().name();
    await client.register({ name: stream, partitions: 1 });
    const first = await client.send(stream, { data: 'first' });
    await server.kill();
    const from = performance.now();
    const [error, second] = await Promise.all([failure<ConnectionError>(client.send(stream, { data: 'second' })), failure<ConnectionError>(client.sendMany(stream, [{ data: 'a' }, { data: 'b' }]))]);
    const took = performance.now() - from;
    expect(took).toBeGreaterThan(14_500);
    expect(took).toBeLessThan(19_000);
    for (const each of [error, second]) {
      expect(each).toBeInstanceOf(ConnectionError);
      expect(each).toMatchObject({ code: 'CONNECTION', retriable: true });
      expect(each.message).toContain(stream);
      expect(each.message).toMatch(/unknown/);
    }
    await server.restart();
    const again = await client.send(stream, { data: 'back' });
    expect(again.id > first.id).toBe(true);
    expect(await server.cli('XLEN', keysOf(stream).partition(0))).toBe(2);
  }, 40_000);
});

onTopologies(['standalone'], 'faults of the way to the server', (world) => {
  it('half-open connections: noticed and replaced, nothing is lost', async () => {
    const stream = await world().stream(2);
    const proxy = await startProxy(world().topology.servers[0]!.port);
    world().onEnd(() => proxy.stop());
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(), { engine: { connection: { url: proxy.url }, session: { ttlMs: 6_000, heartbeatMs: 300 }, commandTimeoutMs: 500 } });
    await a.owns(2);
    const session = a.session;
    await world().client.sendMany(stream, messages(20, 10));
    await caughtUp(world(), stream, 2);
    proxy.halfOpenAll();
    const sent = await world().client.sendMany(stream, messages(20, 10, 20));
    await waitUntil(() => runs.contexts.length >= 40, { what: 'they are handled' });
    await caughtUp(world(), stream, 2);
    expect(ids(runs.contexts.slice(20))).toEqual(ids(sent));
    await a.saw('connection.replaced');
    expect(a.session).toBe(session);
  });

  it('connections of a short life, cut anywhere, under load: no loss, in order, and nothing runs twice', async () => {
    const stream = await world().stream(4);
    const proxy = await startProxy(world().topology.servers[0]!.port, { seed: 5 });
    world().onEnd(() => proxy.stop());
    const connection = { url: proxy.url };
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler(), { concurrency: 3, engine: { connection, ...long } });
    const client = world().engine({ connection }).partitions();
    await a.owns(4);
    await client.send(stream, { data: 'first' });
    proxy.setFaults({ lifetimeMs: [30, 300], cutAfterWriteChance: 0.02 });
    const sent: SentMessage[] = [];
    const { cuts } = proxy.stats;
    for (let i = 0; i < 40 || cuts.lifetime + cuts.afterWrite < 20; i++) sent.push(...await client.sendMany(stream, messages(25, 11, i * 25)));
    proxy.setFaults({});
    await caughtUp(world(), stream, 4);
    expect(ids(runs.contexts.filter(({ data }) => data !== 'first'))).toEqual(ids(sent));
    for (let key = 0; key < 11; key++) {
      const numbers = runs.ofKey(`k${key}`).map(({ data }) => Number(String(data).slice(1)));
      expect(numbers).toEqual([...numbers].sort((x, y) => x - y));
    }
    expect(a.all('session.lost')).toEqual([]);
  });
});
