import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startCluster } from '../../support/redis-cluster.js';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { waitUntil } from '../../support/wait.js';
import { shaOf, startCutter } from '../support/cutter.js';
import { failure } from '../support/failure.js';
import { InvalidOptionsError, RedisStreamsEngine, ReplicationError, type SentQueueMessage } from './support/engine.js';
import { keysOf } from './support/keys.js';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const { messages } = keysOf('jobs');

const follows = (server: RedisServer): Promise<unknown> =>
  waitUntil(async () => String(await server.cli('INFO', 'replication')).includes('master_link_status:up'), { what: 'the replica follows', timeoutMs: 20_000 });

describe('queue producer that waits for replicas', () => {
  const cleanups: Array<() => Promise<unknown>> = [];
  let primary: RedisServer;
  let replica: RedisServer;

  const engine = (url = primary.url, queue: object = {}): RedisStreamsEngine => {
    const made = new RedisStreamsEngine({ connection: { url }, shutdown: { drainMs: 200 }, onError: () => undefined, queue });
    cleanups.unshift(() => made.stop());
    return made;
  };
  const dataIn = async (server: RedisServer): Promise<unknown[]> => ((await server.cli('XRANGE', messages, '-', '+')) as [string, string[]][]).map(([, fields]) => JSON.parse(fields[1]!) as unknown);

  beforeEach(async () => {
    const diskless = ['--repl-diskless-sync-delay', '0'];
    primary = await startRedis({ args: diskless });
    cleanups.push(() => primary.stop());
    replica = await startRedis({ args: [...diskless, '--replicaof', '127.0.0.1', String(primary.port)] });
    cleanups.push(() => replica.stop());
    await follows(replica);
    await engine().queues().register({ name: 'jobs' });
  });
  afterEach(async () => {
    await replica.kill('SIGCONT');
    for (const cleanup of cleanups.splice(0)) await cleanup();
  });

  it('resolves when the replica has it', async () => {
    const producer = engine().queues().queue('jobs', { waitReplicas: 1 });
    for (const n of numbers(20)) {
      await producer.send(n);
      expect(await dataIn(replica)).toEqual(numbers(n + 1));
    }
    const sent = await Promise.all(numbers(5_000).map((n) => producer.send(20 + n)));
    expect(Number(await replica.cli('XLEN', messages))).toBe(5_020);
    expect(new Set(sent.map(({ id }) => id)).size).toBe(5_000);
    expect(await producer.close()).toEqual({ unsent: 0 });
  });

  it('as the default of the module; wrong ones are refused', async () => {
    const queues = engine(primary.url, { producer: { waitReplicas: 2, sendTimeoutMs: 1_000, waitTimeoutMs: 500 } }).queues();
    const error = await failure(queues.queue('jobs').send(1));
    expect(error).toMatchObject({ code: 'NOT_REPLICATED', waitReplicas: 2, confirmed: 1, retriable: true });
    await queues.queue('jobs', { waitReplicas: 1 }).send(2);
    expect(() => queues.queue('jobs', { waitReplicas: -1 })).toThrow(InvalidOptionsError);
    expect(() => engine(primary.url, { producer: { waitReplicas: 1.5 } })).toThrow(InvalidOptionsError);
  });

  it('a replica that hangs: rejects when the time is up, stored once; nobody else is held up', async () => {
    const both = engine();
    const producer = both.queues().queue('jobs', { waitReplicas: 1, sendTimeoutMs: 1_500, waitTimeoutMs: 1_200 });
    await producer.send('first');
    await replica.kill('SIGSTOP');
    const started = performance.now();
    const rejected = failure(producer.send('second'));
    let slowest = 0;
    for (let i = 0; i < 50; i++) {
      const before = performance.now();
      await both.queues().queue('jobs').send('beside');
      slowest = Math.max(slowest, performance.now() - before);
    }
    expect(slowest).toBeLessThan(900);
    const error = await rejected;
    expect(error).toBeInstanceOf(ReplicationError);
    expect(error.message).toMatch(/stored, but only 0 of 1 replicas/);
    expect(performance.now() - started).toBeGreaterThan(1_400);
    expect(performance.now() - started).toBeLessThan(4_000);
    expect((await dataIn(primary)).filter((data) => data !== 'beside')).toEqual(['first', 'second']);
  });

  it('a replica that comes back in time: resolves, stored once', async () => {
    const producer = engine().queues().queue('jobs', { waitReplicas: 1, sendTimeoutMs: 10_000, waitTimeoutMs: 100 });
    await producer.send('first');
    await replica.kill('SIGSTOP');
    let done = false;
    const sends = Promise.all(numbers(1_500).map((n) => producer.send(n))).then((sent) => { done = true; return sent; });
    await waitUntil(async () => Number(await primary.cli('XLEN', messages)) > 1, { what: 'they are on the primary' });
    // More than one WAIT has ended with too few.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(done).toBe(false);
    await replica.kill('SIGCONT');
    await sends;
    for (const server of [primary, replica]) expect(await dataIn(server)).toEqual(['first', ...numbers(1_500)]);
  });

  it('a lost answer: sent again on another connection, it is the replica that is asked about it, not that connection\'s other writes', async () => {
    const proxy = await startCutter(primary.port);
    const producer = engine(proxy.url).queues().queue('jobs', { waitReplicas: 1, sendTimeoutMs: 1_500, waitTimeoutMs: 200 });
    cleanups.push(() => proxy.stop());
    await producer.send('first');
    await replica.kill('SIGSTOP');
    proxy.cutAfter(shaOf('queue-produce'));
    expect(await failure(producer.send('second'))).toBeInstanceOf(ReplicationError);
    expect(proxy.cuts).toBe(1);
    await replica.kill('SIGCONT');
    await producer.send('third');
    expect(await dataIn(replica)).toEqual(['first', 'second', 'third']);
  });

  it('the server restarts: it goes on over a new connection', async () => {
    const producer = engine().queues().queue('jobs', { waitReplicas: 1 });
    await producer.send('first');
    await primary.restart();
    await producer.sendMany(numbers(100).map((data) => ({ data })));
    expect(await dataIn(replica)).toEqual(['first', ...numbers(100)]);
  });

  it('close at the deadline rejects what no replica has confirmed', async () => {
    const producer = engine().queues().queue('jobs', { waitReplicas: 1 });
    await producer.send('first');
    await replica.kill('SIGSTOP');
    const sends = numbers(1_000).map((n) => failure(producer.send(n)));
    await waitUntil(async () => Number(await primary.cli('XLEN', messages)) > 1, { what: 'some are on the primary' });
    const started = performance.now();
    expect(await producer.close({ timeoutMs: 200 })).toEqual({ unsent: 1_000 });
    expect(performance.now() - started).toBeLessThan(4_000);
    expect((await Promise.all(sends)).every((error) => (error as { code?: string }).code === 'CLOSED')).toBe(true);
  });
});

it('on Cluster: each shard\'s replica has it; and a failover stores nothing twice and loses nothing that resolved', async () => {
  const cluster = await startCluster({ masters: 3, replicas: 1, nodeTimeoutMs: 2_000 });
  const engine = new RedisStreamsEngine({ connection: { cluster: { nodes: [...cluster.startupNodes] } }, onError: () => undefined });
  let sending = true;
  try {
    await engine.queues().register({ name: 'jobs', shards: 6 });
    const producer = engine.queues().queue('jobs', { waitReplicas: 1 });
    const keys = numbers(6).map((shard) => keysOf('jobs', { shards: 6, shard }).messages);
    const masters = await Promise.all(keys.map((key) => cluster.nodeFor(key)));
    const replicaOf = (slots: readonly [number, number]): RedisServer => cluster.replicas.find((node) => node.slots[0] === slots[0])!;
    const stored = async (server: (shard: number) => RedisServer): Promise<string[]> => (await Promise.all(numbers(6).map(async (shard) => {
      const rows = (await server(shard).cli('XRANGE', keys[shard]!, '-', '+')) as [string, string[]][];
      return rows.map(([id, fields]) => `${shard}/${id} ${fields[1]}`);
    }))).flat();

    const sent: SentQueueMessage[] = await producer.sendMany(numbers(600).map((data) => ({ data })));
    expect((await stored((shard) => masters[shard]!)).length).toBe(600);
    const outcomes: Array<Promise<SentQueueMessage>> = [];
    const load = (async () => {
      for (let n = 600; sending; n++) {
        const outcome = producer.send(n);
        outcome.catch(() => undefined); // told below
        outcomes.push(outcome);
        if (n % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    // The replica of the first shard takes over, asked nicely: the old primary answers MOVED from then on.
    const heir = replicaOf(masters[0]!.slots);
    // Again when it was not elected in time: masters vote once in a while only.
    await waitUntil(async () => {
      if (String(await heir.cli('ROLE')).startsWith('master')) return true;
      return heir.cli('CLUSTER', 'FAILOVER').then(() => false);
    }, { what: 'the replica is the primary', timeoutMs: 40_000, intervalMs: 4_000 });
    await waitUntil(async () => Number(await heir.cli('XLEN', keys[0]!)) > 300, { what: 'messages arrive at the new one', timeoutMs: 15_000 });
    sending = false;
    await load;
    sent.push(...await Promise.all(outcomes));
    const all = await stored((shard) => (masters[shard]!.id === masters[0]!.id ? heir : masters[shard]!));
    expect(all.map((row) => Number(row.split(' ')[1])).sort((a, b) => a - b)).toEqual(numbers(sent.length));
    const rows = new Set(all);
    expect(sent.flatMap(({ shard, id }, n) => (rows.has(`${shard}/${id} ${n}`) ? [] : [n]))).toEqual([]);
  } finally {
    sending = false;
    await engine.stop();
    await cluster.stop();
  }
});
