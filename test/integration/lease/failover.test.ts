import { afterEach, expect, it } from 'vitest';
import { startCluster } from '../../support/redis-cluster.js';
import { startReplica, startSentinel } from '../../support/redis-sentinel.js';
import { startRedis } from '../../support/redis-server.js';
import { hasEverything } from '../../support/replication.js';
import { waitUntil } from '../../support/wait.js';
import { type ConnectionOptions, RedisStreamsEngine, type StreamLease } from './support/engine.js';

// A primary dies and its replica takes over. What had reached the replica goes on; the consumer finds the new
// primary by itself, with its command, blocking and bell connections.

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Player {
  readonly engine: RedisStreamsEngine;
  readonly runs: StreamLease[];
  readonly lost: string[];
}

async function player(connection: ConnectionOptions, service: string): Promise<Player> {
  const engine = new RedisStreamsEngine({ connection, session: { ttlMs: 2_000 }, commandTimeoutMs: 1_000, startTimeoutMs: 20_000, onError: () => undefined });
  cleanups.push(() => engine.stop());
  const runs: StreamLease[] = [];
  const lost: string[] = [];
  engine.events.on('lease.lost', ({ stream }) => lost.push(stream));
  engine.addLeaseConsumer({ service }, {
    assigned: async (lease) => {
      runs.push(lease);
      if (lease.stream.startsWith('held')) await new Promise((resolve) => lease.signal.addEventListener('abort', resolve));
    },
  });
  await engine.start();
  return { engine, runs, lost };
}

/** Announces until a new stream runs. */
async function resumed({ engine, runs }: Player, service: string, timeoutMs: number): Promise<void> {
  let n = 0;
  await waitUntil(async () => {
    const stream = `after${n++}`;
    await Promise.race([engine.leases().announce(service, stream).catch(() => undefined), new Promise((resolve) => setTimeout(resolve, 2_000))]);
    return waitUntil(() => runs.some((lease) => lease.stream === stream), { what: `${stream} runs`, timeoutMs: 2_000 }).catch(() => false);
  }, { what: 'announced streams run again', timeoutMs });
}

async function survives(connection: ConnectionOptions, service: string, failOver: () => Promise<void>): Promise<void> {
  const one = await player(connection, service);
  await one.engine.leases().announce(service, 'held');
  await waitUntil(() => one.runs.length === 1, { what: 'it is held' });
  const { token } = one.runs[0]!;
  await failOver();
  await resumed(one, service, 40_000);
  // Its session had ended meanwhile, so it was taken again; or the failover was quick, and it is held still.
  await waitUntil(() => one.engine.leases().held(service).some(({ stream }) => stream === 'held'), { what: 'it is held, still or again' });
  const again = one.engine.leases().held(service).find(({ stream }) => stream === 'held')!;
  expect(again.token).toBeGreaterThanOrEqual(token);
  expect(one.lost.includes('held')).toBe(again.token > token);
  expect((await one.engine.leases().stats(service)).members.filter(({ live }) => live)).toHaveLength(1);
}

it('Sentinel: a promoted replica goes on with the streams', async () => {
  const master = await startRedis();
  cleanups.push(() => master.stop());
  const replica = await startReplica(master.port);
  cleanups.push(() => replica.stop());
  const sentinel = await startSentinel({ masterPort: master.port, downAfterMs: 300 });
  cleanups.push(() => sentinel.stop());
  await waitUntil(async () => String(await sentinel.cli('INFO', 'sentinel')).includes('slaves=1'), { what: 'the sentinel knows the replica', timeoutMs: 20_000 });
  await survives({ sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: sentinel.name }, 'failing', async () => {
    await hasEverything(master);
    await master.kill();
  });
}, 90_000);

it('Cluster: a promoted replica goes on with the streams of its slots', async () => {
  const cluster = await startCluster({ masters: 3, replicas: 1, nodeTimeoutMs: 1_000 });
  cleanups.push(() => cluster.stop());
  const service = 'failing';
  const master = await cluster.nodeFor(`${service}-input`);
  await survives({ cluster: { nodes: [...cluster.startupNodes] } }, service, async () => {
    await hasEverything(master);
    await master.kill();
  });
}, 90_000);
