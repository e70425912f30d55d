import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { metric, type Bench, type Contender } from '../model.js';
import { startRedis, type PrivateRedis } from '../support/redis.js';
import type { WorkerOptions } from '../support/worker.js';

const MASTERS = 3;
const SLOTS = 16_384;
const BUS_OFFSET = 10_000;
const FEW = 'QueueProducer.send, 3 shards';
const MANY = 'QueueProducer.send, 12 shards';
const SEND_MANY = 'QueueProducer.sendMany of 200, 3 shards';
const AWAITED = 'one bare script per 200 to each of 3 masters, a promise for each message';
const BARE = 'one bare script per 200 to each of 3 masters, two in flight each';

/** Three masters without replicas. */
async function startCluster(): Promise<{ readonly nodes: string; stop(): Promise<void> }> {
  const servers: PrivateRedis[] = [];
  for (let i = 0; i < MASTERS; i++) servers.push(await startRedis(['--cluster-enabled', 'yes']));
  const stop = async (): Promise<void> => void (await Promise.all(servers.map((server) => server.stop())));
  const clients = servers.map(({ url }) => new Redis(url));
  try {
    const ports = servers.map(({ url }) => Number(new URL(url).port));
    for (const [i, client] of clients.entries()) {
      await client.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
      await client.call('CLUSTER', 'ADDSLOTSRANGE', Math.floor((i * SLOTS) / MASTERS), Math.floor(((i + 1) * SLOTS) / MASTERS) - 1);
      if (i > 0) await client.call('CLUSTER', 'MEET', '127.0.0.1', ports[0]!, ports[0]! + BUS_OFFSET);
    }
    for (const client of clients) {
      for (let info = ''; !info.includes('cluster_state:ok') || !info.includes(`cluster_size:${MASTERS}`); await sleep(20)) info = String(await client.cluster('INFO'));
    }
    return { nodes: ports.map((port) => `127.0.0.1:${port}`).join(','), stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    for (const client of clients) client.disconnect();
  }
}

function contender(name: string, role: string, messages: number, shards: number, options: WorkerOptions = {}): Contender {
  return {
    name,
    round: async ({ spawn }) => {
      const cluster = await startCluster();
      try {
        const worker = await spawn(role, { nodes: cluster.nodes, shards, ...options });
        const run = async (queue: string, count: number): Promise<{ ms: number; cpuUs: number }> => {
          const produced = worker.next('produced');
          worker.send({ type: 'produce', queue, count });
          const { startAt, endAt, cpuUs } = await produced;
          return { ms: Number(endAt) - Number(startAt), cpuUs: Number(cpuUs) };
        };
        await run('warm', messages / 4);
        const { ms, cpuUs } = await run('work', messages);
        await worker.kill();
        return { messagesPerSecond: (messages / ms) * 1_000, clientCpuUsPerMessage: cpuUs / messages };
      } finally {
        await cluster.stop();
      }
    },
  };
}

const over = (name: string, other: string) => (round: Parameters<typeof metric>[0]): number => metric(round, name, 'messagesPerSecond') / metric(round, other, 'messagesPerSecond');

export const queueClusterBench: Bench = {
  name: 'queue-cluster',
  about: 'messages sent per second by one process to a Redis Cluster of three masters',
  rounds: { full: 5, short: 0 },
  headline: 'messagesPerSecond',
  contenders: (short) => {
    const messages = short ? 60_000 : 300_000;
    return [
      contender(FEW, 'queue-cluster-engine', messages, 3),
      contender(MANY, 'queue-cluster-engine', messages, 12),
      contender(SEND_MANY, 'queue-cluster-engine', messages, 3, { sendMany: 200 }),
      contender(BARE, 'queue-cluster-bare', messages, 3),
      contender(AWAITED, 'queue-cluster-awaited', messages, 3),
    ];
  },
  // The goal was set by calls that nobody awaits message by message; what a promise for each costs by itself, the other bound says.
  ratios: [
    { name: 'queue on Cluster, produce: over the bare script', atLeast: 0.9, value: over(FEW, BARE) },
    { name: 'queue on Cluster, produce: sendMany over the bare script, as many promises each', value: over(SEND_MANY, BARE) },
    { name: 'queue on Cluster, produce: over the bare script with a promise for each message', value: over(FEW, AWAITED) },
    { name: 'queue on Cluster, produce: the bare script with a promise for each message over the bare script', value: over(AWAITED, BARE) },
    { name: 'queue on Cluster, produce: CPU of the process per message, 12 shards over 3', atMost: 1.25, value: (round) => metric(round, MANY, 'clientCpuUsPerMessage') / metric(round, FEW, 'clientCpuUsPerMessage') },
  ],
};
