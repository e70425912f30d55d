import { expect, it } from 'vitest';
import { type ClusterNode, startCluster } from '../../support/redis-cluster.js';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { consume } from './support/consumer.js';
import { ClosedError, RedisStreamsEngine, type SentQueueMessage } from './support/engine.js';
import { numbers, Runs } from './support/handlers.js';
import { keysOf } from './support/keys.js';
import { drained } from './support/state.js';
import { onTopologies } from './support/world.js';

interface Sender { sendMany(messages: Array<{ data: unknown }>): Promise<SentQueueMessage[]> }

/** Sends small batches one after the other until it is stopped. */
function startLoad(producer: Sender, batch = 12): { readonly sent: string[]; stop(): Promise<void> } {
  const sent: string[] = [];
  let busy = true;
  const running = (async () => {
    for (let i = 0; busy; i += batch) {
      for (const { shard, id } of await producer.sendMany(numbers(batch, i).map((data) => ({ data })))) sent.push(`${shard}/${id}`);
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
  })();
  running.catch(() => undefined); // of a test that failed elsewhere, nobody asks
  return { sent, stop: () => ((busy = false), running) };
}

async function beginMove(slot: number, from: ClusterNode, to: ClusterNode): Promise<void> {
  await to.cli('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id);
  await from.cli('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id);
}

async function endMove(slot: number, from: ClusterNode, to: ClusterNode, masters: readonly ClusterNode[]): Promise<void> {
  for (;;) {
    const keys = (await from.cli('CLUSTER', 'GETKEYSINSLOT', slot, 2)) as string[];
    if (keys.length === 0) break;
    await from.cli('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...keys);
  }
  for (const node of [to, from, ...masters]) await node.cli('CLUSTER', 'SETSLOT', slot, 'NODE', to.id);
}

onTopologies(['cluster'], 'queues on Cluster', (world) => {
  it('the slot of a shard moves to another master and back while it is consumed: nothing is lost or runs twice, no CROSSSLOT', async () => {
    const queue = await world().queue({ shards: 2 });
    const { topology } = world();
    if (topology.kind !== 'cluster') throw new Error('a cluster only');
    const { masters } = topology.cluster;
    const runs = new Runs();
    const engine = { session: { ttlMs: 8_000, heartbeatMs: 300 } };
    const a = await consume(world(), queue, runs.handler(({ data, attempt }) => { if (Number(data) % 50 === 7 && attempt === 1) throw new Error('again'); }), { engine, retry: { initialMs: 20 } });
    const load = startLoad(world().client.queue(queue));
    const { messages } = keysOf(queue, { shards: 2, shard: 1 });
    const home = await topology.cluster.nodeFor(messages);
    const away = masters.find(({ id }) => id !== home.id)!;
    const slot = Number(await home.cli('CLUSTER', 'KEYSLOT', messages));
    for (const [from, to] of [[home, away], [away, home]] as const) {
      const flow = async (count: number): Promise<void> => {
        const before = runs.contexts.filter(({ shard }) => shard === 1).length;
        await waitUntil(() => runs.contexts.filter(({ shard }) => shard === 1).length > before + count, { what: 'messages of the shard flow' });
      };
      await flow(40);
      await beginMove(slot, from, to);
      await endMove(slot, from, to, masters);
      await flow(60);
    }
    await load.stop();
    await drained(world(), queue, { shards: 2 });
    expect([...new Set(runs.ids)].sort()).toEqual(load.sent.toSorted());
    expect(runs.contexts.filter(({ attempt }) => attempt === 1)).toHaveLength(load.sent.length);
    expect(a.all('session.lost')).toEqual([]);
    expect(a.events.filter((event) => 'error' in event && /CROSSSLOT/.test(String(event.error)))).toEqual([]);
  });

  it('the slot of a shard is between two masters: close is bounded; what waits is stored once when it has moved', async () => {
    const queue = await world().queue({ shards: 2 });
    const { topology } = world();
    if (topology.kind !== 'cluster') throw new Error('a cluster only');
    const { masters } = topology.cluster;
    const runs = new Runs();
    const a = await consume(world(), queue, runs.handler(), { engine: { session: { ttlMs: 20_000, heartbeatMs: 300 } } });
    const [patient, closing] = [world().client.queue(queue), world().engine().queues().queue(queue)];
    let key = 'k';
    while ((await patient.send('warm', { key })).shard !== 1) key += 'k';
    await Promise.all(numbers(8).map((n) => closing.send('warm', { key: `${key}${n}` }))); // it knows both shards
    await drained(world(), queue, { shards: 2 });
    const { messages } = keysOf(queue, { shards: 2, shard: 1 });
    const from = await topology.cluster.nodeFor(messages);
    const to = masters.find(({ id }) => id !== from.id)!;
    const slot = Number(await from.cli('CLUSTER', 'KEYSLOT', messages));
    await beginMove(slot, from, to);
    await from.cli('MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', messages); // and its other keys stay for now

    const waits = patient.sendMany(numbers(600).map((n) => ({ data: `waits ${n}`, key, ...(n % 3 === 0 && { id: `id ${n}` }) })));
    const refused = numbers(6).map((n) => failure(closing.send(`refused ${n}`, { key })));
    const since = performance.now();
    const closed = closing.close({ timeoutMs: 400 });
    expect(await closed).toEqual({ unsent: 6 });
    expect(performance.now() - since).toBeLessThan(2_500);
    for (const error of await Promise.all(refused)) expect(error).toBeInstanceOf(ClosedError);

    await endMove(slot, from, to, masters);
    expect((await waits).every(({ duplicate, shard }) => !duplicate && shard === 1)).toBe(true);
    await world().client.queue(queue).send('last', { key });
    await waitUntil(() => runs.data.includes('last'), { what: 'the last is handled' });
    await beginMove(slot, to, from);
    await endMove(slot, to, from, masters);
    await drained(world(), queue, { shards: 2 });
    const seen = runs.data.filter((data) => data !== 'warm' && !String(data).startsWith('refused'));
    expect(seen.toSorted()).toEqual([...numbers(600).map((n) => `waits ${n}`), 'last'].toSorted());
    for (const n of numbers(6)) expect(runs.ofData(`refused ${n}`).length).toBeLessThan(2);
    expect(a.all('session.lost')).toEqual([]);
  });

  it('shards lie on all masters, and each waits in one blocking read', async () => {
    const queue = await world().queue({ shards: 12 });
    const runs = new Runs();
    await consume(world(), queue, runs.handler());
    const blocked = async (): Promise<number[]> => (await world().everywhere('CLIENT', 'LIST')).map((list) => String(list).split('\n').filter((line) => line.includes('cmd=xreadgroup') && / flags=\w*b/.test(line)).length);
    await waitUntil(async () => (await blocked()).reduce((sum, count) => sum + count, 0) === 12, { what: 'twelve reads wait' });
    for (const count of await blocked()) expect(count).toBeGreaterThan(0);
    const producer = world().client.queue(queue);
    await producer.sendMany(numbers(240).map((data) => ({ data })));
    await drained(world(), queue, { shards: 12 });
    expect(new Set(runs.contexts.map(({ shard }) => shard)).size).toBe(12);
    expect(runs.contexts).toHaveLength(240);
  });
}, { own: true }); // a slot moves

it('a master hands over to its replica under load: nothing is lost or runs twice', async () => {
  const cluster = await startCluster({ masters: 3, replicas: 1, nodeTimeoutMs: 2_000 });
  const engines: RedisStreamsEngine[] = [];
  let load: ReturnType<typeof startLoad> | undefined;
  try {
    const make = (): RedisStreamsEngine => {
      const engine = new RedisStreamsEngine({ connection: { cluster: { nodes: [...cluster.startupNodes] } }, session: { ttlMs: 8_000, heartbeatMs: 300 }, commandTimeoutMs: 1_000, startTimeoutMs: 20_000, onError: () => undefined });
      engines.push(engine);
      return engine;
    };
    const queue = 'handed-over';
    const sender = make().queues();
    await sender.register({ name: queue, shards: 3 });
    const runs = new Runs();
    const engine = make();
    engine.addQueueConsumer({ queue }, { message: runs.handler() });
    await engine.start();
    load = startLoad(sender.queue(queue));
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
    await waitUntil(() => new Set(runs.contexts.slice(before).map(({ shard }) => shard)).size === 3 && runs.contexts.length > before + 200, { what: 'messages of all shards flow again', timeoutMs: 20_000 });
    await load.stop();
    await waitUntil(async () => (await sender.stats(queue)).messages === 0, { what: 'all are settled' });
    expect([...new Set(runs.ids)].sort()).toEqual(load.sent.toSorted());
    expect(runs.contexts).toHaveLength(load.sent.length);
  } finally {
    await load?.stop().catch(() => undefined);
    await Promise.all(engines.map((engine) => engine.stop()));
    await cluster.stop();
  }
}, 120_000);
