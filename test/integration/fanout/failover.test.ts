import { RedisStreamsEngine } from 'nestjs-redis-streams';
import { expect, it } from 'vitest';
import { startCluster } from '../../support/redis-cluster.js';
import { waitUntil } from '../../support/wait.js';
import { Seen } from './support/handlers.js';
import { keysOf } from './support/keys.js';

it('a master becomes a replica and lives on: rooms go on where the shard is served now, as fast as before', async () => {
  const cluster = await startCluster({ masters: 1, replicas: 1 });
  const engines = Array.from({ length: 3 }, () => new RedisStreamsEngine({ connection: { cluster: { nodes: [...cluster.startupNodes] } }, session: { ttlMs: 10_000 }, onError: () => undefined }));
  try {
    const [sender, ...members] = engines as [RedisStreamsEngine, ...RedisStreamsEngine[]];
    const seen = members.map(() => new Seen());
    await Promise.all(members.map((member, i) => member.fanout().join('room', seen[i]!.handler())));
    // Brisk, before and after: acknowledgements go out unanswered.
    let sent = 0;
    let sending = true;
    const sends = (async () => {
      while (sending) await sender.fanout().send('room', sent++, { await: 'acked' });
    })();
    sends.catch(() => undefined); // what failed before it is what is to be told
    await seen[0]!.calls(200);
    const [before, after] = [cluster.masters[0]!, cluster.replicas[0]!];
    const isMaster = async (): Promise<boolean> => String(await after.cli('INFO', 'replication')).includes('role:master');
    await waitUntil(async () => (await isMaster()) || after.cli('CLUSTER', 'FAILOVER').then(() => false, () => false), { what: 'the replica is the master', intervalMs: 300, timeoutMs: 20_000 });
    const { state } = keysOf('room', {});
    const listeners = async (node: typeof before): Promise<number> => Number(((await node.cli('PUBSUB', 'SHARDNUMSUB', state)) as unknown[])[1]);
    await waitUntil(async () => (await listeners(after)) === members.length && (await listeners(before)) === 0, { what: 'they listen at the new master', timeoutMs: 15_000 });
    const known = seen[0]!.data.length;
    await seen[0]!.calls(known + 200);
    sending = false;
    await sends;
    for (const each of seen) expect([...new Set(each.data)]).toEqual(Array.from({ length: sent }, (_, i) => i));
    expect((await sender.fanout().state('room')).owing).toEqual([]);
  } finally {
    await Promise.all(engines.map((engine) => engine.stop()));
    await cluster.stop();
  }
});
