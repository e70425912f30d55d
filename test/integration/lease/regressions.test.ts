import { Cluster as Cluster5 } from 'ioredis5';
import { describe, expect, it } from 'vitest';
import { isTransient } from '../../../libs/redis-streams/dist/kernel/server-errors.js';
import { createClient } from '../../../libs/redis-streams/dist/redis/client-factory.js';
import { joinScope } from '../../../libs/redis-streams/dist/session/join.js';
import { waitUntil } from '../../support/wait.js';
import { ClosedError, type ConnectionOptions, InvalidOptionsError, type LeaseHandlers, RedisStreamsEngine, type StreamLease } from './support/engine.js';
import { gate, Runs } from './support/handlers.js';
import { internals } from './support/internals.js';
import { allDone, keysOf, xadd } from './support/keys.js';
import { BOTH, onTopologies, type World } from './support/world.js';

async function noSession(world: World, service: string): Promise<void> {
  const { sessions, members, names } = keysOf(service);
  for (const key of [sessions, members, names]) expect(await world.cli(['EXISTS', key]), key).toBe(0);
}

onTopologies(BOTH, 'regressions', (world) => {
  it('two readers at different places in one data stream each get their own entries', async () => {
    const service = world().service();
    const data = `${service}-data`;
    for (let i = 1; i <= 9; i++) await world().cli(['XADD', data, `${i}-0`, 'n', i]);
    const got = new Map<string, string[]>();
    const read = async (lease: StreamLease, after: string): Promise<void> => {
      const ids: string[] = [];
      got.set(after, ids);
      for await (const { id } of lease.entries({ after, batch: 2, idleMs: 300 })) ids.push(id);
    };
    const { leases } = await world().consumer(service, (lease) => Promise.all([read(lease, '0-0'), read(lease, '5-0'), read(lease, '7-0')]));
    await leases.announce(service, data);
    await allDone(world(), service);
    expect(Object.fromEntries(got)).toEqual({
      '0-0': [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `${n}-0`), '5-0': ['6-0', '7-0', '8-0', '9-0'], '7-0': ['8-0', '9-0'],
    });
  });

  it('a stop during the start leaves no session, whatever step it meets', async () => {
    const service = world().service();
    for (let turns = 0; turns < 24; turns++) {
      const engine = world().engine({ consumerName: 'early' });
      engine.addLeaseConsumer({ service }, { assigned: () => undefined });
      const connected = new Promise<void>((resolve) => {
        engine.events.on('connection.ready', ({ role }) => { if (role === 'command') resolve(); });
      });
      const started = engine.start().catch(() => undefined);
      await connected;
      for (let turn = 0; turn < turns % 8; turn++) await new Promise((resolve) => { setImmediate(resolve); });
      await engine.stop();
      await started;
      await noSession(world(), service);
    }
  });

  it('what was stopped does not start, and opens no connection any more', async () => {
    const service = world().service();
    const engine = world().engine();
    engine.addLeaseConsumer({ service }, { assigned: () => undefined });
    await engine.stop();
    await expect(engine.start()).rejects.toBeInstanceOf(ClosedError);
    await expect(engine.leases().stats(service)).rejects.toBeInstanceOf(ClosedError);
    await expect(engine.leases().announce(service, 's')).rejects.toBeInstanceOf(ClosedError);
    await noSession(world(), service);
  });

  it('a process stopped while it asks whether the holder of its name lives does not take the name', async () => {
    const { sessions: store } = internals(world(), world().service());
    await store.join('same:holder', 'same', 30_000, '1', undefined, 2_000);
    const stopping = new AbortController();
    const session = { ttlMs: 30_000, heartbeatMs: 10_000, marginMs: 100 };
    const joining = joinScope({ store, scope: 'x', session: 'same:other', name: 'same', meta: '1', options: session, timeoutMs: 2_000, signal: stopping.signal });
    setImmediate(() => stopping.abort());
    await expect(joining).rejects.toBeInstanceOf(ClosedError);
    expect(await store.heartbeat('same:holder', 'same', 30_000, 2_000)).toMatchObject({ status: 'live' });
  });

  it('an announcement refused before it had an owner leaves no record behind', async () => {
    const service = world().service();
    const { leases, saw } = await bound(world(), service);
    await leases.announce(service, 'big', { text: 'x'.repeat(300_000) });
    await saw('lease.deadLettered');
    expect(await leases.list(service)).toEqual([]);
    expect((await leases.deadLetters(service)).map(({ reason }) => reason)).toEqual(['too-large']);
    await expect(leases.announce(service, 'half \ud800')).rejects.toBeInstanceOf(InvalidOptionsError);
  });

  it('a thrown error that has no text ends the attempt like any other', async () => {
    const service = world().service();
    const { leases, saw } = await bound(world(), service, () => {
      throw Object.defineProperty(new Error('x'), 'name', { value: Symbol('no text') });
    });
    await leases.announce(service, 's');
    await saw('lease.deadLettered');
    expect(leases.held(service)).toEqual([]);
  });

  it('an async onError or listener that fails ends no process', async () => {
    const service = world().service();
    const unhandled: unknown[] = [];
    const listener = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', listener);
    world().onEnd(() => { process.off('unhandledRejection', listener); });
    const told: unknown[] = [];
    const engine = world().engine({ onError: async () => { throw new Error('from onError'); } });
    engine.events.onListenerError = (error) => void told.push((error as Error).message);
    engine.events.on('lease.deadLettered', async () => { throw new Error('from a listener'); });
    engine.addLeaseConsumer({ service, maxAttempts: 1 }, { assigned: () => { throw new Error('from the handler'); } });
    await engine.start();
    await xadd(world(), service, 's');
    await waitUntil(() => told.length === 2, { what: 'both are told' });
    await new Promise((resolve) => { setImmediate(resolve); });
    expect(told).toEqual(['from onError', 'from a listener']);
    expect(unhandled).toEqual([]);
  });

  it('a consumer without an assigned handler is refused', () => {
    const service = world().service();
    for (const handlers of [{}, { assigned: 'process' }, undefined]) {
      expect(() => world().engine().addLeaseConsumer({ service }, handlers as unknown as LeaseHandlers)).toThrow(InvalidOptionsError);
    }
  });

  it('a list longer than the arguments of one call', async () => {
    const service = world().service();
    const { leases } = keysOf(service);
    const rows = 150_000;
    const fill = "for i = 1, ARGV[1] do redis.call('HSET', KEYS[1], 's' .. i, '1-1 5 x:y 1 0 1 - 0') end";
    await world().cli(['EVAL', fill, 1, leases, rows], leases);
    expect(await world().engine().leases().list(service, { limit: rows })).toHaveLength(rows);
    await world().cli(['DEL', leases]);
  });
});

async function bound(world: World, service: string, handler: (lease: StreamLease) => unknown = () => undefined) {
  const consumer = await world.consumer(service, handler, { maxAttempts: 1 });
  return { leases: consumer.leases, saw: consumer.saw.bind(consumer) };
}

onTopologies(['standalone'], 'regressions with a server that is away', (world) => {
  const pause = async (): Promise<() => Promise<void>> => {
    const [server] = world().topology.servers;
    await server!.kill('SIGSTOP');
    return () => server!.kill('SIGCONT');
  };

  it('a stop does not wait for a session that lasts longer than the drain', async () => {
    const service = world().service();
    const [working, ending] = [gate(), new Runs()];
    const { engine } = await world().consumer(service, ending.handler(() => working.opened), {
      engine: { session: { ttlMs: 60_000 }, commandTimeoutMs: 300, shutdown: { drainMs: 200 } },
    });
    await xadd(world(), service, 's');
    await waitUntil(() => ending.leases.length === 1, { what: 'the handler runs' });
    const resume = await pause();
    try {
      working.open(); // its settle cannot be answered
      const from = performance.now();
      await engine.stop();
      expect(performance.now() - from).toBeLessThan(5_000);
    } finally {
      await resume();
    }
  });

  it('a client told to give up comes back all the same', async () => {
    const service = world().service();
    const { url, port } = world().topology.servers[0]!;
    const options = { retryStrategy: (times: number) => (times > 1 ? null : 10), enableOfflineQueue: false };
    const runs = new Runs();
    const told = new Set<string>();
    const consumer = await world().consumer(service, runs.handler(), {
      engine: { connection: { url, options }, session: { ttlMs: 1_000 }, onError: (_, { during }) => void told.add(during) },
    });
    const [server] = world().topology.servers;
    await consumer.leases.announce(service, 'first'); // it reads
    await allDone(world(), service);
    await server!.kill();
    await consumer.saw('session.lost');
    await server!.restart({ empty: true });
    expect(server!.port).toBe(port);
    await consumer.saw('session.joined', 2, 20_000);
    await consumer.leases.announce(service, 's');
    await allDone(world(), service);
    expect(runs.streams).toEqual(['first', 's']);
    expect([...told]).toEqual(expect.arrayContaining(['the command connection', 'the subscriber connection', 'reading'])); // onError hears of all
  });

  it("timeouts of the user's client do not end blocking reads", async () => {
    const service = world().service();
    const { url } = world().topology.servers[0]!;
    const consumer = await world().consumer(service, () => undefined, {
      engine: { connection: { url, options: { commandTimeout: 300, socketTimeout: 500 } }, session: { ttlMs: 2_000 } },
    });
    await consumer.saw('session.renewed', 3);
    expect(consumer.all('reader.error')).toEqual([]);
  });

  it("a command timeout of the user's own client is a passing fault: what it hid is asked again", async () => {
    const service = world().service();
    const [working, runs] = [gate(), new Runs()];
    const { url } = world().topology.servers[0]!;
    const { leases } = await world().consumer(service, runs.handler(() => working.opened), {
      engine: { connection: { url, options: { commandTimeout: 100 } }, session: { ttlMs: 30_000 } },
    });
    await xadd(world(), service, 's');
    await waitUntil(() => runs.leases.length === 1, { what: 'the handler runs' });
    const resume = await pause();
    working.open();
    await new Promise((resolve) => { setTimeout(resolve, 300); }); // longer than that timeout
    await resume();
    await waitUntil(() => leases.held(service).length === 0, { what: 'the stream is done' });
    expect(runs.leases).toHaveLength(1);
  });
});

describe('regressions of options', () => {
  const problems = (options: object): string[] => {
    try {
      return [String(new RedisStreamsEngine(options))];
    } catch (error) {
      if (!(error instanceof InvalidOptionsError)) throw error;
      return error.problems.map(({ path }) => path);
    }
  };

  it('misspelt options are told, wherever they stand', () => {
    expect(problems({ conection: {}, session: { ttl: 1 }, shutdown: { drain: 1 }, lease: { backoff: { max: 1 } } }))
      .toEqual(['conection', 'shutdown.drain', 'session.ttl', 'lease.backoff.max']);
  });

  it('a key prefix, which replies and channels would not have, is refused', () => {
    const prefixed = { keyPrefix: 'app:' };
    expect(problems({ connection: prefixed })).toEqual(['connection']);
    expect(problems({ connection: { url: 'redis://127.0.0.1', options: prefixed } })).toEqual(['connection']);
    expect(problems({ connection: { cluster: { nodes: ['127.0.0.1'], options: { redisOptions: prefixed } } } })).toEqual(['connection']);
    expect(problems({ connection: { client: { duplicate: () => undefined, options: prefixed } } })).toEqual(['connection']);
  });

  it('a cluster client of ioredis 5 given as connection keeps its password', () => {
    const given = new Cluster5([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true, redisOptions: { username: 'u', password: 'p' } });
    const made = createClient({ client: given } as unknown as ConnectionOptions, 'command');
    made.on('error', () => undefined);
    expect(made.options).toMatchObject({ redisOptions: { username: 'u', password: 'p', maxRetriesPerRequest: null } });
    made.disconnect();
    given.disconnect();
  });

  it('a server that cannot save, and a timeout of the client, pass', () => {
    expect(isTransient(new Error("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist"))).toBe(true);
    expect(isTransient(new Error('Command timed out'))).toBe(true);
  });
});
