import { Cluster, Redis, type ClusterOptions, type RedisOptions } from 'ioredis';
import type { ConnectionOptions } from '../options.js';
import { askAnotherAfter, type Client } from './compat.js';

/** What a connection is for decides how it may fail. */
export type ConnectionRole = 'command' | 'subscriber';

/** Full jitter up to 2 s, so that a fleet does not come back all at once. */
function reconnectDelay(times: number): number {
  return 20 + Math.random() * Math.min(2_000, 50 * 2 ** Math.min(times, 10));
}

/**
 * How long a closed connection may take to end. ioredis waits its 2 s out also where the socket is gone already, as it is
 * between two tries to reconnect, and keeps the process for as long.
 */
export const CLOSE_MS = 200;

/**
 * Commands wait for a reconnect without a bound of their own here: every caller has a deadline
 * (see CommandChannel), and every script of this package may run twice without harm.
 */
const SHARED: RedisOptions = {
  disconnectTimeout: CLOSE_MS,
  // Asked again this soon while a server loads its data: by default after up to 10 s, which keep the process as well.
  maxLoadingRetryTime: 500,
  maxRetriesPerRequest: null,
  connectTimeout: 3_000,
  keepAlive: 5_000,
  retryStrategy: reconnectDelay,
  // A demoted master answers READONLY: reconnect, so that name resolution or Sentinel finds the new one, and send again.
  reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
};

/**
 * Whatever the user's options say: a client must queue while it connects, must leave subscribing again to the Doorbell, and
 * never give up. ioredis ends for good when a retry strategy answers null, and a consumer would stay deaf for ever.
 */
function insisted(options: RedisOptions): RedisOptions {
  return { ...options, enableOfflineQueue: true, autoResubscribe: false, lazyConnect: false, retryStrategy: neverNull(options.retryStrategy) };
}

type RetryStrategy = (times: number) => number | void | null;

function neverNull(strategy: RetryStrategy | null | undefined): (times: number) => number {
  return (times) => {
    const delay = strategy?.(times);
    return typeof delay === 'number' ? delay : reconnectDelay(times);
  };
}

/**
 * No look at the state of the cluster before the first command: it is taken at any one node, and one that hangs would keep all
 * commands waiting. Each command is told by the node that serves it whether the cluster is down. No connection to a node is made
 * again by itself: one that was taken out would stay so. Nothing is gathered into pipelines: it is not known then where a command is.
 */
const CLUSTER: ClusterOptions = { enableOfflineQueue: true, lazyConnect: false, enableReadyCheck: false, clusterNodeRetryStrategy: undefined, enableAutoPipelining: false };

/** So long may a node take to say who serves what before another is asked as well. */
const ASK_ANOTHER_MS = 200;

function asking(cluster: Cluster): Cluster {
  askAnotherAfter(ASK_ANOTHER_MS, cluster);
  return cluster;
}

export function createClient(connection: ConnectionOptions, role: ConnectionRole): Client {
  // A server that is still loading refuses commands for now, which is retried; a subscriber need not ask first.
  const shared: RedisOptions = { ...SHARED, connectionName: `nestjs-redis-streams:${role}`, enableReadyCheck: role === 'command' };
  if ('client' in connection && connection.client) {
    const given = connection.client;
    if (!(given instanceof Cluster || 'nodes' in given)) return (given as Redis).duplicate(insisted(shared));
    // Merged here: ioredis 5 would replace them as a whole, and with them user name, password and TLS.
    const redisOptions = { ...(given as Cluster).options.redisOptions, ...shared };
    return asking((given as Cluster).duplicate([], { ...CLUSTER, clusterRetryStrategy: reconnectDelay, redisOptions }));
  }
  if ('cluster' in connection && connection.cluster) {
    const options: ClusterOptions = connection.cluster.options ?? {};
    return asking(new Cluster([...connection.cluster.nodes], {
      slotsRefreshTimeout: 2_000,
      ...options,
      ...CLUSTER,
      clusterRetryStrategy: neverNull(options.clusterRetryStrategy),
      redisOptions: { ...shared, ...options.redisOptions },
    }));
  }
  if ('url' in connection && connection.url) return new Redis(connection.url, insisted({ ...shared, ...connection.options }));
  return new Redis(insisted({ ...shared, ...(connection as RedisOptions) }));
}
