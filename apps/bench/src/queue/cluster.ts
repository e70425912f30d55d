import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { metric, type Bench, type Metrics, type StandingContender } from '../model.js';
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
async function startCluster(): Promise<{ readonly nodes: string; readonly masters: readonly Redis[]; stop(): Promise<void> }> {
  const servers: PrivateRedis[] = [];
  for (let i = 0; i < MASTERS; i++) servers.push(await startRedis(['--cluster-enabled', 'yes']));
  const masters = servers.map(({ url }) => new Redis(url));
  const stop = async (): Promise<void> => {
    for (const master of masters) master.disconnect();
    await Promise.all(servers.map((server) => server.stop()));
  };
  try {
    const ports = servers.map(({ url }) => Number(new URL(url).port));
    for (const [i, client] of masters.entries()) {
      await client.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
      await client.call('CLUSTER', 'ADDSLOTSRANGE', Math.floor((i * SLOTS) / MASTERS), Math.floor(((i + 1) * SLOTS) / MASTERS) - 1);
      if (i > 0) await client.call('CLUSTER', 'MEET', '127.0.0.1', ports[0]!, ports[0]! + BUS_OFFSET);
    }
    for (const client of masters) {
      for (let info = ''; !info.includes('cluster_state:ok') || !info.includes(`cluster_size:${MASTERS}`); await sleep(20)) info = String(await client.cluster('INFO'));
    }
    return { nodes: ports.map((port) => `127.0.0.1:${port}`).join(','), masters, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Bursts before the first that counts. */
const WARM_UP = 3;

function contender(name: string, role: string, messages: number, shards: number, options: WorkerOptions = {}): StandingContender {
  return {
    name,
    stand: async ({ spawn, after }) => {
      const { nodes, masters, stop } = await startCluster();
      after(stop);
      const worker = await spawn(role, { nodes, shards, ...options });
      const burst = async (): Promise<Metrics> => {
        const produced = worker.next('produced');
        worker.send({ type: 'produce', queue: 'work', count: messages });
        const { startAt, endAt, cpuUs } = await produced;
        const added = (await Promise.all(masters.map(taken))).reduce((sum, count) => sum + count, 0);
        if (added !== messages) throw new Error(`${name}: ${added} of ${messages} messages are in the queue`);
        return { messagesPerSecond: (messages / (Number(endAt) - Number(startAt))) * 1_000, clientCpuUsPerMessage: Number(cpuUs) / messages };
      };
      for (let i = 0; i < WARM_UP; i++) await burst();
      return burst;
    },
  };
}

/** Removes the messages from the streams of one master. @returns how many there were */
async function taken(master: Redis): Promise<number> {
  let sum = 0;
  for (const key of await master.keys('*')) if ((await master.type(key)) === 'stream') sum += await master.xtrim(key, 'MAXLEN', 0);
  return sum;
}

const over = (name: string, other: string) => (round: Parameters<typeof metric>[0]): number => metric(round, name, 'messagesPerSecond') / metric(round, other, 'messagesPerSecond');

export const queueClusterBench: Bench = {
  name: 'queue-cluster',
  about: 'messages sent per second by one process to a Redis Cluster of three masters',
  rounds: { full: 21, short: 0 },
  headline: 'messagesPerSecond',
  contenders: () => {
    // Fewer are done in a sixth of a second, and it is the beginning and the end of a burst that are measured.
    const messages = 300_000;
    return [
      contender(FEW, 'queue-cluster-engine', messages, 3),
      contender(MANY, 'queue-cluster-engine', messages, 12),
      contender(SEND_MANY, 'queue-cluster-engine', messages, 3, { sendMany: 200 }),
      contender(BARE, 'queue-cluster-bare', messages, 3),
      contender(AWAITED, 'queue-cluster-awaited', messages, 3),
    ];
  },
  // To each its own bound: what a promise for each message costs by itself, the last ratio says.
  ratios: [
    { name: 'queue on Cluster, produce: sendMany over the bare script, a promise for 200 messages each', atLeast: 0.9, value: over(SEND_MANY, BARE) },
    { name: 'queue on Cluster, produce: send over the bare script, a promise for each message', value: over(FEW, AWAITED) },
    { name: 'queue on Cluster, produce: send over the bare script with a promise for 200', value: over(FEW, BARE) },
    { name: 'queue on Cluster, produce: the bare script with a promise for each message over itself with one for 200', value: over(AWAITED, BARE) },
    { name: 'queue on Cluster, produce: CPU of the process per message, 12 shards over 3', atMost: 1.25, value: (round) => metric(round, MANY, 'clientCpuUsPerMessage') / metric(round, FEW, 'clientCpuUsPerMessage') },
  ],
};
