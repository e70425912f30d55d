import { expect, it } from 'vitest';
import { startCluster } from '../../support/redis-cluster.js';
import { redisCommand } from '../../support/redis-command.js';
import { waitUntil } from '../../support/wait.js';
import { RedisStreamsEngine, type PartitionContext, type SentMessage } from './support/engine.js';
import { messages, Runs } from './support/handlers.js';
import { caughtUp, keysOf, partitionKey } from './support/keys.js';
import { startLoad } from './support/load.js';
import { onTopologies } from './support/world.js';

const ids = (sent: readonly SentMessage[]): string[] => sent.map(({ partition, id }) => `${partition}/${id}`).sort();

function inOrder(runs: Runs, keys: number): void {
  for (let key = 0; key < keys; key++) {
    const numbers = runs.ofKey(`k${key}`).map(({ data }) => Number(String(data).slice(1)));
    expect(numbers).toEqual([...numbers].sort((x, y) => x - y));
  }
}

onTopologies(['cluster'], 'partitions on Cluster', (world) => {
  const cluster = () => {
    const { topology } = world();
    if (topology.kind !== 'cluster') throw new Error('no cluster');
    return topology.cluster;
  };

  it('lie on as many masters as there are shards and slots for them, neighbours apart', async () => {
    // Which slot a name falls into is chance: with 32 shards, all three masters have some.
    const stream = await world().stream({ partitions: 64, shards: 32 });
    const runs = new Runs();
    const a = await world().consumer(stream, runs.handler());
    await a.owns(64);
    const sent = await world().client.sendMany(stream, Array.from({ length: 640 }, (_, i) => ({ key: `k${i % 64}`, data: `m${i}`, partition: i % 64 })));
    await caughtUp(world(), stream, 64, { shards: 32 });
    expect(ids(runs.contexts)).toEqual(ids(sent));
    const ports = await Promise.all(Array.from({ length: 64 }, async (_, partition) => (await world().serverOf(partitionKey(world(), stream, partition, 32))).port));
    expect(new Set(ports).size).toBe(3);
    expect(new Set(Array.from({ length: 32 }, (_, partition) => partitionKey(world(), stream, partition, 32).split('}')[0])).size).toBe(32);
  });

  it('wait in one blocking read per shard, not per partition', async () => {
    const stream = await world().stream({ partitions: 30, shards: 3 });
    const a = await world().consumer(stream, () => undefined);
    await a.owns(30);
    const blocked = async () => (await world().everywhere('CLIENT', 'LIST')).flatMap((list) => String(list).split('\n')).filter((line) => / cmd=xread /.test(line) && / flags=\w*b/.test(line)).length;
    await waitUntil(async () => (await blocked()) === 3, { what: 'three reads wait' });
    await world().client.sendMany(stream, messages(90, 30));
    await caughtUp(world(), stream, 30);
    await waitUntil(async () => (await blocked()) === 3, { what: 'three reads wait again' });
  });

  it.each([
    ['of a shard', (stream: string) => keysOf(stream).partition(0)],
    ['of the group', (stream: string) => keysOf(stream).owners],
    ['of the registration', (stream: string) => keysOf(stream).registration],
  ])('the slot %s moves to another master under load: nothing is lost or runs twice, order is kept', async (_, keyOf) => {
    const stream = await world().stream({ partitions: 4, shards: 1 });
    const runs = new Runs();
    const engine = { session: { ttlMs: 8_000, heartbeatMs: 300 } };
    const a = await world().consumer(stream, runs.handler(), { engine });
    await a.owns(4);
    const load = startLoad(world(), world().client, stream, { keys: 10 });
    const key = keyOf(stream);
    const home = await cluster().nodeFor(key);
    const away = cluster().masters.find(({ id }) => id !== home.id)!;
    for (const [from, to] of [[home, away], [away, home]] as const) {
      const before = runs.contexts.length;
      await waitUntil(() => runs.contexts.length > before + 100, { what: 'messages flow' });
      await moveSlot(key, from, to);
      await waitUntil(() => runs.contexts.length > before + 300, { what: 'messages flow again' });
    }
    await load.stop();
    await caughtUp(world(), stream, 4, { shards: 1 });
    expect(ids(runs.contexts)).toEqual(ids(load.sent));
    inOrder(runs, 10);
    expect(a.all('partition.lost')).toEqual([]);
    expect(a.all('session.lost')).toEqual([]);
  });

  type Node = ReturnType<typeof cluster>['masters'][number];
  /** As redis-cli --cluster reshard does it, a few keys at a time. */
  async function moveSlot(key: string, from: Node, to: Node): Promise<void> {
    const slot = Number(await from.cli('CLUSTER', 'KEYSLOT', key));
    await to.cli('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id);
    await from.cli('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id);
    for (;;) {
      const keys = (await from.cli('CLUSTER', 'GETKEYSINSLOT', slot, 2)) as string[];
      if (keys.length === 0) break;
      await from.cli('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...keys);
    }
    for (const node of [to, from, ...cluster().masters]) await node.cli('CLUSTER', 'SETSLOT', slot, 'NODE', to.id);
    await waitUntil(async () => (await Promise.all(cluster().masters.map((node) => node.cli('CLUSTER', 'NODES')))).every((text) => !/\[\d+-[<>]/.test(String(text))), { what: 'the slot has moved' });
  }
}, { own: true }); // slots move

it('a master of a cluster hands over to its replica under load: nothing is lost, order is kept', async () => {
  const cluster = await startCluster({ masters: 3, replicas: 1, nodeTimeoutMs: 2_000 });
  const engines: RedisStreamsEngine[] = [];
  const cleanups: Array<() => unknown> = [];
  try {
    const connection = { cluster: { nodes: [...cluster.startupNodes] } };
    const make = () => {
      const engine = new RedisStreamsEngine({ connection, session: { ttlMs: 8_000, heartbeatMs: 300 }, commandTimeoutMs: 1_000, startTimeoutMs: 20_000, onError: () => undefined });
      engines.push(engine);
      return engine;
    };
    const stream = 'handed-over';
    const sender = make().partitions();
    await sender.register({ name: stream, partitions: 6, shards: 6 });
    const runs = new Runs();
    const handler = runs.handler();
    const engine = make();
    const consumer = engine.addPartitionConsumer({ stream, group: 'group' }, { message: (data, context: PartitionContext) => handler(data, context) });
    await engine.start();
    await waitUntil(() => consumer.owned().length === 6, { what: 'it owns all' });
    const load = startLoad({ onEnd: (cleanup) => cleanups.push(cleanup) }, sender, stream, { keys: 10 });
    await waitUntil(() => runs.contexts.length > 200, { what: 'messages flow' });
    for (const replica of cluster.replicas) {
      // An attempt counts for five seconds: when the vote or the last bytes come too late, it has to be asked for again.
      await waitUntil(async () => {
        if (String(await replica.cli('ROLE')).startsWith('master')) return true;
        await replica.cli('CLUSTER', 'FAILOVER').catch(() => undefined); // it may have become one just now
        return waitUntil(async () => String(await replica.cli('ROLE')).startsWith('master'), { what: 'this attempt succeeds', timeoutMs: 6_000 });
      }, { what: 'the replica is a master', timeoutMs: 30_000 });
    }
    const before = runs.contexts.length;
    await waitUntil(() => runs.contexts.length > before + 300, { what: 'messages flow again', timeoutMs: 20_000 });
    await load.stop();
    await waitUntil(async () => (await sender.lag({ stream, group: 'group' })).every(({ lag }) => lag === 0), { what: 'all are committed' });
    expect([...new Set(runs.ids)].sort()).toEqual(ids(load.sent));
    expect(runs.contexts).toHaveLength(load.sent.length);
    inOrder(runs, 10);
    expect(await redisCommand(cluster.replicas[0]!.port, 'PING')).toBe('PONG');
  } finally {
    for (const cleanup of cleanups) cleanup();
    await Promise.all(engines.map((engine) => engine.stop()));
    await cluster.stop();
  }
}, 120_000);
