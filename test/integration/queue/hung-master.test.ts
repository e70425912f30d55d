import { afterEach, expect, it } from 'vitest';
import { isTransient } from '../../../libs/redis-streams/dist/kernel/server-errors.js';
import { createClient } from '../../../libs/redis-streams/dist/redis/client-factory.js';
import { CommandChannel } from '../../../libs/redis-streams/dist/redis/command-channel.js';
import { percentile } from '../../support/percentile.js';
import { type ClusterNode, type ClusterOptions, type RedisCluster, startCluster } from '../../support/redis-cluster.js';
import { waitUntil } from '../../support/wait.js';
import { failure } from '../support/failure.js';
import { ClusterPlay, TIMEOUT_MS, TTL_MS } from './support/cluster-play.js';
import { keysOf } from './support/keys.js';

// One master of three is stopped (SIGSTOP): it accepts connections and answers nothing. Everything on the other two goes on as if
// nothing were. What could spread from one to the others:
//
//  1. a late command takes the whole client out of service, and with it all that is under way to healthy masters;
//  2. the new client asks the hung master first who serves what, or whether the cluster is well, and sends nothing until it has;
//  3. the command that is late was sent to the hung master, but its slot has another one by then, which is blamed;
//  4. what was queued for the hung master is sent again and again by the client, long after whoever wanted it has given up;
//  5. a connection is taken out while it is made, and never made again: the shard stays deaf after SIGCONT;
//  6. many commands are late at once, and the second one takes out the connection that was made for the first;
//  7. the hung master wakes up demoted, does not know it yet, and answers what lies in its sockets.

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function begin(options: ClusterOptions): Promise<ClusterPlay> {
  const play = await ClusterPlay.begin(options);
  cleanups.push(() => play.end());
  return play;
}

const HUNG = 0;
const HEALTHY = [1, 2];

/** What the other masters' shards must not have noticed. */
function expectUntouched(play: ClusterPlay, hung: ClusterNode, sessions: readonly (string | undefined)[], from: number, to: number): void {
  const all = [HUNG, ...HEALTHY].reduce((sum, shard) => sum + play.latencies(shard, from, to).length, 0);
  expect(all, 'sent meanwhile').toBeGreaterThan(100);
  for (const shard of HEALTHY) {
    const latencies = play.latencies(shard, from, to);
    const runs = play.runsOf(shard);
    expect({ twice: runs.length - new Set(runs).size, session: play.sessions()[shard] }, `shard ${shard}`).toEqual({ twice: 0, session: sessions[shard] });
    expect(latencies.length, `sent to shard ${shard} meanwhile`).toBeGreaterThan(all / 4);
    expect(percentile(latencies, 99), `p99 of ${latencies.length} sends to shard ${shard}`).toBeLessThan(TIMEOUT_MS / 4);
    expect(play.runsOf(shard, from, to).length, `handled of shard ${shard} meanwhile`).toBeGreaterThan(latencies.length * 0.8);
  }
  expect(play.lost.filter((scope) => !scope.startsWith(`jobs/${HUNG}`)), 'sessions lost').toEqual([]);
  expect(play.replaced.length, 'connections taken out').toBeGreaterThan(0);
  expect(play.unconnected.size, 'engines that count as not connected').toBe(0);
  expect(play.replaced.filter((why) => !why.endsWith(`:${hung.port}`)), 'connections to others taken out').toEqual([]);
}

it('a master that hangs for several times the session ttl: the shards of the others notice nothing, and its own go on when it does', async () => {
  const play = await begin({ nodeTimeoutMs: 60_000 });
  const master = await play.masterOf(HUNG);
  const sessions = play.sessions();
  const { at: from, wake } = await play.stopped(master);
  await waitUntil(() => performance.now() > from + 4 * TTL_MS, { what: 'it hangs for long', intervalMs: 100 });
  const to = performance.now();
  await wake();
  await play.flows(HUNG, to, 'its shard goes on');
  await play.settled();
  expectUntouched(play, master, sessions, from, to);
  expect(play.refused).toEqual([]);
}, 120_000);

it('a master that hangs until its replica is promoted: its shard goes on there, and the others notice nothing, nor when it wakes up demoted', async () => {
  const play = await begin({ replicas: 1, nodeTimeoutMs: 1_000, args: ['--cluster-require-full-coverage', 'no'] });
  const master = await play.masterOf(HUNG);
  const sessions = play.sessions();
  const { at: from, wake } = await play.stopped(master);
  await play.flows(HUNG, from + 4 * TTL_MS, 'its shard goes on at the replica');
  await wake();
  await waitUntil(async () => String(await master.cli('ROLE')).startsWith('slave'), { what: 'it has found out', timeoutMs: 30_000 });
  await play.flows(HUNG, performance.now(), 'its shard goes on');
  expectUntouched(play, master, sessions, from, performance.now() - 100);
}, 120_000);

it('processes that start while a master hangs are not held up on their way to the others', async () => {
  const play = await begin({ nodeTimeoutMs: 60_000 });
  const { cluster } = play;
  const hung = await play.masterOf(HUNG);
  let name = '';
  for (let n = 0; name === ''; n++) {
    const { registration, messages } = keysOf(`other${n}`);
    const homes = await Promise.all([registration, messages].map((key) => cluster.nodeFor(key)));
    if (!homes.some(({ id }) => id === hung.id)) name = `other${n}`;
  }
  await play.engine().queues().register({ name });
  await play.stopped(hung);
  // By chance each of them asks one of the others first.
  const took = await Promise.all(Array.from({ length: 8 }, async () => {
    const queue = play.engine().queues().queue(name);
    const begun = performance.now();
    await queue.send(1);
    return performance.now() - begun;
  }));
  expect(Math.max(...took)).toBeLessThan(TIMEOUT_MS * 0.75);
}, 120_000);

/** A connection for commands, and a key of each of two masters, one of which is to hang. */
async function channelOf(cluster: RedisCluster, timeoutMs: number): Promise<{ channel: CommandChannel; replaced: string[]; stuck: string; free: string; hung: ClusterNode }> {
  const [hung] = cluster.masters;
  const replaced: string[] = [];
  const nodes = cluster.startupNodes.map((node) => ({ ...node }));
  const channel = new CommandChannel(() => createClient({ cluster: { nodes } }, 'command'), timeoutMs, { ready: () => undefined, error: () => undefined, replaced: (why) => replaced.push(why) });
  cleanups.push(() => channel.close());
  const found: Record<'stuck' | 'free', string | undefined> = { stuck: undefined, free: undefined };
  for (let n = 0; !found.stuck || !found.free; n++) found[(await cluster.nodeFor(`key${n}`)).id === hung!.id ? 'stuck' : 'free'] ??= `key${n}`;
  for (const key of [found.stuck, found.free]) await channel.call('SET', [key, 0]);
  return { channel, replaced, stuck: found.stuck, free: found.free, hung: hung! };
}

it('many commands that are late at once cost one connection; what is given up while it is made again is never sent; all at others are answered', async () => {
  const cluster = await startCluster({ masters: 3, nodeTimeoutMs: 60_000 });
  cleanups.push(() => cluster.stop());
  const { channel, replaced, stuck, free, hung } = await channelOf(cluster, 500);
  await hung.kill('SIGSTOP');
  cleanups.push(() => hung.kill('SIGCONT'));
  let busy = true;
  const others = (async () => {
    let count = 0;
    for (; busy; count++) await channel.call('INCR', [free]);
    return count;
  })();
  others.catch(() => undefined);
  // From the second round on there is a connection as far as the kernel can tell, and everything waits for its first answer.
  for (let round = 1; round <= 5; round++) {
    const late = await Promise.all(Array.from({ length: 50 }, () => failure(channel.call('INCR', [stuck]))));
    expect(late.filter((error) => !isTransient(error))).toEqual([]);
    expect(replaced).toEqual(Array.from({ length: round }, () => `INCR unanswered for 500 ms by 127.0.0.1:${hung.port}`));
  }
  await hung.kill('SIGCONT');
  busy = false;
  expect(Number(await channel.call('GET', [free]))).toBeGreaterThanOrEqual(await others);
  const last = await waitUntil(() => channel.call('INCR', [stuck]), { what: 'it answers' });
  // What was written to the first connection; and perhaps again this last, by tries that were answered too late.
  expect(Number(last)).toBeLessThan(100);
}, 60_000);
