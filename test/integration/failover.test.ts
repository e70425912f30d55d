import { afterEach, expect, it } from 'vitest';
import { type ConnectionOptions, RedisStreamsEngine } from 'nestjs-redis-streams';
import { startCluster } from '../support/redis-cluster.js';
import { startReplica, startSentinel } from '../support/redis-sentinel.js';
import { startRedis } from '../support/redis-server.js';
import { hasEverything } from '../support/replication.js';
import { waitUntil } from '../support/wait.js';

// A primary is killed under load, unplanned, and its replica takes over: partitions, queues and rooms go on by themselves.
// Replication is asynchronous, so what the primary alone had may be lost; nothing else may, and nothing may overtake.

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const KEYS = 6;

/** What one capability was given, and what its handlers saw. */
class Lane {
  readonly sent: Array<{ n: number; at: number }> = [];
  readonly seen = new Map<number, number>();
  readonly order: number[] = [];
  private n = 0;
  private busy = true;
  private running: Promise<void> | undefined;

  constructor(
    readonly name: string,
    private readonly send: (n: number) => Promise<unknown>,
  ) {}

  handled(n: number): void {
    if (!this.seen.has(n)) this.order.push(n);
    this.seen.set(n, (this.seen.get(n) ?? 0) + 1);
  }

  /** One after the other, until `stop`. What is refused was not promised; whoever sends does so again, as the next. */
  start(): void {
    this.running = (async () => {
      while (this.busy) {
        const n = this.n++;
        await this.send(n).then(() => this.sent.push({ n, at: performance.now() }), () => undefined);
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
    })();
  }

  async stop(): Promise<void> {
    this.busy = false;
    await this.running;
  }

  sentAfter(at: number): number[] {
    return this.sent.flatMap((each) => (each.at > at ? [each.n] : []));
  }

  sentBefore(at: number): number[] {
    return this.sent.flatMap((each) => (each.at < at ? [each.n] : []));
  }
}

async function goesOn(connection: ConnectionOptions, replicated: () => Promise<void>, kill: () => Promise<void>): Promise<void> {
  const make = (): RedisStreamsEngine => {
    const engine = new RedisStreamsEngine({ connection, session: { ttlMs: 3_000 }, commandTimeoutMs: 1_000, startTimeoutMs: 20_000, fanout: { shards: 3 }, onError: () => undefined });
    cleanups.push(() => engine.stop());
    return engine;
  };
  const [consumer, sender] = [make(), make()];
  await sender.partitions().register({ name: 'ledger', partitions: 6, shards: 3 });
  await sender.queues().register({ name: 'jobs', shards: 3 });
  const rooms = ['a', 'b', 'c', 'd', 'e', 'f'];
  const lanes = {
    partitions: new Lane('partitions', (n) => sender.partitions().send('ledger', { key: `k${n % KEYS}`, data: n })),
    queue: new Lane('queue', (n) => sender.queues().queue('jobs').send(n)),
    rooms: new Lane('rooms', (n) => sender.fanout().send(rooms[n % rooms.length]!, n)),
  };
  const all = Object.values(lanes);
  consumer.addPartitionConsumer({ stream: 'ledger', group: 'group' }, { message: (n) => lanes.partitions.handled(Number(n)) });
  consumer.addQueueConsumer({ queue: 'jobs', retry: { initialMs: 50 } }, { message: (n) => lanes.queue.handled(Number(n)) });
  await consumer.start();
  await Promise.all(rooms.map((room) => consumer.fanout().join(room, (n) => lanes.rooms.handled(Number(n)))));

  for (const lane of all) lane.start();
  cleanups.push(() => Promise.all(all.map((lane) => lane.stop())));
  for (const lane of all) await waitUntil(() => lane.seen.size > 60, { what: `${lane.name} flow`, timeoutMs: 30_000 });
  const barrier = performance.now();
  await replicated();
  await kill();
  const killed = performance.now();
  // Every key and every room again, so that each of its places has found its new primary.
  for (const lane of all) {
    await waitUntil(() => new Set(lane.sentAfter(killed).filter((n) => lane.seen.has(n)).map((n) => n % KEYS)).size === KEYS && lane.sentAfter(killed).length > 100, { what: `${lane.name} flow again everywhere`, timeoutMs: 60_000 });
  }
  const back = performance.now();
  for (const lane of all) await waitUntil(() => lane.sentAfter(back).length > 60, { what: `${lane.name} go on`, timeoutMs: 30_000 });
  await Promise.all(all.map((lane) => lane.stop()));

  for (const lane of all) {
    const promised = [...lane.sentBefore(barrier), ...lane.sentAfter(back)];
    await waitUntil(() => promised.every((n) => lane.seen.has(n)), { what: `all that ${lane.name} promised are handled`, timeoutMs: 30_000 })
      .catch(() => expect(promised.filter((n) => !lane.seen.has(n)), `${lane.name}: lost`).toEqual([]));
    if (lane.name === 'queue') continue; // of which no order is promised
    for (let key = 0; key < KEYS; key++) {
      const order = lane.order.filter((n) => n % KEYS === key);
      expect(order, `${lane.name}: order of key ${key}`).toEqual(order.toSorted((x, y) => x - y));
    }
  }
}

it('Sentinel: partitions, queues and rooms go on with the promoted replica', async () => {
  const master = await startRedis();
  cleanups.push(() => master.stop());
  const replica = await startReplica(master.port);
  cleanups.push(() => replica.stop());
  const sentinel = await startSentinel({ masterPort: master.port, downAfterMs: 300 });
  cleanups.push(() => sentinel.stop());
  await waitUntil(async () => String(await sentinel.cli('INFO', 'sentinel')).includes('slaves=1'), { what: 'the sentinel knows the replica', timeoutMs: 20_000 });
  await goesOn(
    { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: sentinel.name },
    () => hasEverything(master),
    () => master.kill(),
  );
}, 240_000);

it('Cluster: partitions, queues and rooms go on with the promoted replica of one of three masters', async () => {
  const cluster = await startCluster({ masters: 3, replicas: 1, nodeTimeoutMs: 1_000 });
  cleanups.push(() => cluster.stop());
  const [master] = cluster.masters;
  await goesOn({ cluster: { nodes: [...cluster.startupNodes] } }, async () => void (await Promise.all(cluster.masters.map(hasEverything))), () => master!.kill());
}, 240_000);
