import { existsSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { isAlive, processesWith } from '../../support/alive.js';
import { spawnNode } from '../../support/processes.js';
import { type RedisCluster, startCluster } from '../../support/redis-cluster.js';
import { startReplica, startSentinel } from '../../support/redis-sentinel.js';
import { type RedisServer, startRedis } from '../../support/redis-server.js';
import { redisCommand, redisCommands } from '../../support/redis-command.js';
import { waitUntil } from '../../support/wait.js';

const stops: (() => Promise<void>)[] = [];
const stopLater = <T extends { stop(): Promise<void> }>(thing: T): T => {
  stops.push(() => thing.stop());
  return thing;
};
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

describe('startRedis', () => {
  it('starts private servers, each its own process on its own port, and leaves nothing behind', async () => {
    const [a, b] = await Promise.all([startRedis(), startRedis()]) as [RedisServer, RedisServer];
    stopLater(a);
    stopLater(b);
    expect(a.port).not.toBe(b.port);
    expect(a.pid).not.toBe(b.pid);
    await a.cli('SET', 'k', 'only in a');
    expect(await b.cli('GET', 'k')).toBeNull();
    expect(await a.cli('CONFIG', 'GET', 'save')).toEqual(['save', '']);
    await a.stop();
    await a.stop();
    expect(a.running).toBe(false);
    expect(isAlive(a.pid)).toBe(false);
    expect(existsSync(a.dir)).toBe(false);
    await waitUntil(() => processesWith(a.dir).length === 0, { what: 'the guard is gone with its server' });
    expect(await b.cli('PING')).toBe('PONG');
  });

  it('refuses a fixed port that another server answers on', async () => {
    const first = stopLater(await startRedis());
    await expect(startRedis({ port: first.port })).rejects.toThrow(/in use/);
    expect(await first.cli('PING')).toBe('PONG');
  });

  it('reports arguments the server does not take, with its own words', async () => {
    await expect(startRedis({ args: ['--no-such-option', 'x'] })).rejects.toThrow(/did not come up[^]*no-such-option/);
  });

  it('restarts on its port with its data, or empty', async () => {
    const server = stopLater(await startRedis());
    const firstPid = server.pid;
    await server.cli('SET', 'k', 'v');
    await server.restart();
    expect(server.pid).not.toBe(firstPid);
    expect(await server.cli('GET', 'k')).toBe('v');
    await server.restart({ empty: true });
    expect(await server.cli('DBSIZE')).toBe(0);
  });

  it('pauses and continues', async () => {
    const server = stopLater(await startRedis());
    await server.kill('SIGSTOP');
    await expect(redisCommands(server.port, [['PING']], 300)).rejects.toThrow(/No answer/);
    await server.kill('SIGCONT');
    expect(await server.cli('PING')).toBe('PONG');
  });
});

it('a parent ended by SIGKILL leaves no server, sentinel, child, guard or folder behind', async () => {
  const parent = spawnNode<{ type: string; redis: number; sentinel: number; grandchild: number; dir: string; sentinelDir: string }>(
    new URL('../../support/fixtures/parent-of-servers.ts', import.meta.url));
  const up = await parent.waitFor(({ type }) => type === 'up', 30_000, 'its servers');
  const pids = [up.redis, up.sentinel, up.grandchild];
  expect(pids.map(isAlive)).toEqual([true, true, true]);
  await parent.kill('SIGKILL');
  await waitUntil(() => !pids.some(isAlive), { what: `${pids.join(', ')} are gone`, timeoutMs: 5_000 });
  await waitUntil(() => processesWith(up.dir).length === 0 && processesWith(up.sentinelDir).length === 0 && ![up.dir, up.sentinelDir].some(existsSync), {
    what: 'guards and folders are gone', timeoutMs: 5_000,
  });
});

it('a sentinel fails over to a replica', async () => {
  const master = stopLater(await startRedis());
  const replica = stopLater(await startReplica(master.port));
  const sentinel = stopLater(await startSentinel({ masterPort: master.port, downAfterMs: 300 }));
  const address = (): Promise<unknown> => sentinel.cli('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', sentinel.name);
  expect(await address()).toEqual(['127.0.0.1', String(master.port)]);
  await waitUntil(async () => String(await sentinel.cli('INFO', 'sentinel')).includes('slaves=1'), {
    what: 'the sentinel has discovered the replica', timeoutMs: 20_000,
  });
  await master.kill();
  await waitUntil(async () => (await address() as string[])[1] === String(replica.port), {
    what: 'the sentinel names the replica', timeoutMs: 30_000,
  });
  await waitUntil(async () => await replica.cli('SET', 'k', 'v') === 'OK', { what: 'the promoted replica takes writes' });
});

describe('startCluster', () => {
  const find = async (cluster: RedisCluster, index: number): Promise<string> => {
    for (let i = 0; ; i++) if (await cluster.nodeFor(`key-${i}`) === cluster.masters[index]) return `key-${i}`;
  };

  it('answers for the keys of each of 3 masters and redirects the others', async () => {
    const cluster = stopLater(await startCluster({ masters: 3 }));
    expect(cluster.masters).toHaveLength(3);
    for (const [index, master] of cluster.masters.entries()) {
      const key = await find(cluster, index);
      expect(await master.cli('SET', key, 'v')).toBe('OK');
      expect(await master.cli('GET', key)).toBe('v');
      const other = cluster.masters[(index + 1) % 3] as RedisServer;
      await expect(other.cli('GET', key)).rejects.toThrow(`127.0.0.1:${master.port}`);
    }
    const pids = cluster.nodes.map(({ pid }) => pid);
    await cluster.stop();
    expect(pids.some(isAlive)).toBe(false);
  });

  it('promotes the replica of a killed master', async () => {
    const cluster = stopLater(await startCluster({ masters: 3, replicas: 1, nodeTimeoutMs: 1_000 }));
    expect(cluster.replicas).toHaveLength(3);
    const key = await find(cluster, 1);
    const [victim, heir] = [cluster.masters[1], cluster.replicas[1]] as [RedisServer, RedisServer];
    await victim.cli('SET', key, 'v');
    await waitUntil(async () => await victim.cli('WAIT', 1, 1_000) === 1, { what: 'the replica has the write' });
    await victim.kill();
    await waitUntil(async () => String(await redisCommand(heir.port, 'ROLE')).startsWith('master'), {
      what: 'the replica is master', timeoutMs: 30_000,
    });
    await cluster.settled();
    expect(await heir.cli('GET', key)).toBe('v');
  });
});
