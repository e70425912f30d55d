import { BUS_OFFSET } from './free-port.js';
import { redisCommands, type Reply } from './redis-command.js';
import { type RedisServer, startRedis } from './redis-server.js';
import { waitUntil } from './wait.js';

export interface ClusterNode extends RedisServer {
  readonly id: string;
  readonly role: 'master' | 'replica';
  /** Masters: the first and last slot given at creation. Replicas: those of their master. */
  readonly slots: readonly [number, number];
}

export interface RedisCluster {
  readonly nodes: readonly ClusterNode[];
  readonly masters: readonly ClusterNode[];
  readonly replicas: readonly ClusterNode[];
  readonly startupNodes: readonly { host: string; port: number }[];
  /** The master that was given this key's slot at creation. */
  nodeFor(key: string): Promise<ClusterNode>;
  /** Waits until every running node sees the same slot owners and cluster_state ok. */
  settled(timeoutMs?: number): Promise<void>;
  stop(): Promise<void>;
}

export interface ClusterOptions {
  masters?: number;
  /** Per master. */
  replicas?: number;
  nodeTimeoutMs?: number;
  args?: readonly string[];
}

const SLOTS = 16_384;

export async function startCluster(options: ClusterOptions = {}): Promise<RedisCluster> {
  const { masters: masterCount = 3, replicas: perMaster = 0, nodeTimeoutMs = 5_000 } = options;
  const args = [
    '--cluster-enabled', 'yes', '--cluster-node-timeout', String(nodeTimeoutMs),
    '--repl-diskless-sync-delay', '0', ...(options.args ?? []),
  ];
  const servers: RedisServer[] = [];
  try {
    // One after another: two that start at once could propose the same port to each other's bus.
    for (let i = 0; i < masterCount * (1 + perMaster); i++) {
      servers.push(await startRedis({ args, withBus: true, label: `cluster node ${i}` }));
    }
    return await form(servers, masterCount);
  } catch (error) {
    await Promise.all(servers.map((server) => server.stop()));
    throw error;
  }
}

async function form(servers: readonly RedisServer[], masterCount: number): Promise<RedisCluster> {
  const range = (i: number): [number, number] =>
    [Math.floor((i * SLOTS) / masterCount), Math.floor(((i + 1) * SLOTS) / masterCount) - 1];
  const ids = await Promise.all(servers.map(async (server) => String(await server.cli('CLUSTER', 'MYID'))));
  // Distinct epochs from the start: else the nodes would have to settle collisions one by one.
  await Promise.all(servers.map((server, i) => server.cli('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)));
  await Promise.all(servers.slice(0, masterCount).map((server, i) => server.cli('CLUSTER', 'ADDSLOTSRANGE', ...range(i))));
  const [first, ...others] = servers;
  if (!first) throw new Error('A cluster needs at least one master');
  for (const other of others) await first.cli('CLUSTER', 'MEET', '127.0.0.1', other.port, other.port + BUS_OFFSET);
  for (const server of servers) {
    await waitUntil(async () => (await knownIds(server)).size === servers.length, {
      what: `cluster node ${server.port} knows all ${servers.length} nodes`, timeoutMs: 30_000,
    });
  }
  await Promise.all(servers.slice(masterCount).map((server, i) =>
    server.cli('CLUSTER', 'REPLICATE', ids[i % masterCount] as string)));
  for (const replica of servers.slice(masterCount)) {
    await waitUntil(async () => String(await replica.cli('INFO', 'replication')).includes('master_link_status:up'), {
      what: `cluster replica ${replica.port} follows its master`, timeoutMs: 30_000,
    });
  }
  const nodes = servers.map((server, i): ClusterNode => Object.defineProperties({} as ClusterNode, {
    ...Object.getOwnPropertyDescriptors(server),
    id: { value: ids[i], enumerable: true },
    role: { value: i < masterCount ? 'master' : 'replica', enumerable: true },
    slots: { value: range(i % masterCount), enumerable: true },
  }));
  const masters = nodes.slice(0, masterCount);
  const settled = (timeoutMs = 30_000): Promise<void> => agree(nodes, timeoutMs);
  await settled();
  return {
    nodes,
    masters,
    replicas: nodes.slice(masterCount),
    startupNodes: nodes.map(({ port }) => ({ host: '127.0.0.1', port })),
    nodeFor: async (key) => {
      const slot = Number(await (nodes.find((node) => node.running) ?? first).cli('CLUSTER', 'KEYSLOT', key));
      return masters.find(({ slots: [from, to] }) => slot >= from && slot <= to) as ClusterNode;
    },
    settled,
    stop: async () => { await Promise.all(nodes.map((node) => node.stop())); },
  };
}

async function knownIds(server: RedisServer): Promise<Set<string>> {
  const lines = String(await server.cli('CLUSTER', 'NODES')).trim().split('\n');
  return new Set(lines.filter((line) => !line.includes('handshake')).map((line) => line.split(' ', 1)[0] as string));
}

async function agree(nodes: readonly RedisServer[], timeoutMs: number): Promise<void> {
  await waitUntil(async () => {
    const views = await Promise.all(nodes.filter((node) => node.running).map(async ({ port }) => {
      const [info, slots] = await redisCommands(port, [['CLUSTER', 'INFO'], ['CLUSTER', 'SLOTS']]);
      const state = /cluster_state:(\w+)/.exec(String(info))?.[1] ?? '?';
      return `${state} ${slotOwners(slots)}`;
    }));
    return new Set(views).size === 1 && views[0]?.startsWith('ok ') ? true : Promise.reject(new Error(views.join(' | ')));
  }, { what: 'all cluster nodes agree on the slots and call the state ok', timeoutMs });
}

/** "0-5460@11000+1 ...": range, owner's port, number of replicas. */
function slotOwners(slots: Reply | undefined): string {
  const rows = (slots as [number, number, [string, number], ...Reply[]][] | undefined) ?? [];
  return rows.map(([from, to, owner, ...rest]) => `${from}-${to}@${owner[1]}+${rest.length}`).toSorted().join(' ');
}
