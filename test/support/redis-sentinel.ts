import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RedisServer, startRedis } from './redis-server.js';
import { waitUntil } from './wait.js';

export interface SentinelOptions {
  masterPort: number;
  name?: string;
  quorum?: number;
  downAfterMs?: number;
  failoverTimeoutMs?: number;
}

/** The sentinel keeps its state by rewriting its configuration file, so it needs a real one. */
export async function startSentinel(options: SentinelOptions): Promise<RedisServer & { readonly name: string }> {
  const name = options.name ?? 'mymaster';
  const dir = await mkdtemp(join(tmpdir(), 'nrs-sentinel-'));
  const configFile = join(dir, 'sentinel.conf');
  await writeFile(configFile, [
    `sentinel monitor ${name} 127.0.0.1 ${options.masterPort} ${options.quorum ?? 1}`,
    `sentinel down-after-milliseconds ${name} ${options.downAfterMs ?? 500}`,
    `sentinel failover-timeout ${name} ${options.failoverTimeoutMs ?? 2_000}`,
    '',
  ].join('\n'));
  const server = await startRedis({ dir, removeDir: true, configFile, args: ['--sentinel'], label: 'sentinel' });
  await waitUntil(async () => Array.isArray(await server.cli('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name)), {
    what: `the sentinel knows ${name}`,
  });
  return Object.defineProperties({} as RedisServer & { readonly name: string }, {
    ...Object.getOwnPropertyDescriptors(server),
    name: { value: name, enumerable: true },
  });
}

/** A replica whose link to the master is up. */
export async function startReplica(masterPort: number): Promise<RedisServer> {
  const replica = await startRedis({
    args: ['--replicaof', '127.0.0.1', String(masterPort), '--repl-diskless-sync-delay', '0'], label: 'replica',
  });
  await waitUntil(async () => String(await replica.cli('INFO', 'replication')).includes('master_link_status:up'), {
    what: `the replica follows ${masterPort}`,
  });
  return replica;
}
