import { setTimeout as sleep } from 'node:timers/promises';
import { startCluster } from '../../support/redis-cluster.js';
import type { Topology } from '../../support/topology.js';
import { isMaster, killPrimary } from '../queue/slots.js';
import { QueueWorld } from '../queue/world.js';
import type { Forbidden } from '../queue/judge.js';
import type { QueueProducerOptions } from '../queue/library.js';
import { type Scenario, within } from '../scenario.js';

const TTL_MS = 3_000;
const PER_SECOND = 500;
const EVERY_MS = 15_000;
/** From the kill on: a node is suspected, a replica elected, the killed one back as a replica. */
const RESUME_MS = 15_000;
/** Of every other kill: how long its replica had no link to it. */
const BEHIND_MS = 300;
const QUIET_MS = TTL_MS + 8_000;

/** By how many must have a message: each choice once with consumers, and once without, where all that resolved must still lie there. */
const MODES: Record<string, QueueProducerOptions> = { async: {}, replicated: { waitReplicas: 1 } };
const USES = ['live', 'kept'] as const;
const PREFETCH = 96;

/** What a failover takes back is counted; what no failover explains is a breach. */
const TOLERATED: readonly Forbidden[] = ['handledUnderTwoIds', 'rerunsBySameSession', 'rerunsWithoutLoss', 'ackedTwice'];

async function withReplicas(): Promise<Topology> {
  const cluster = await startCluster({ masters: 3, replicas: 1, nodeTimeoutMs: 1_500 });
  return { kind: 'cluster', cluster, servers: cluster.masters, stop: () => cluster.stop() };
}

export const queueFailover: Scenario = {
  name: 'queue-failover',
  about: 'primaries killed under load, their replicas take over: what each choice of durability loses is measured, and it resumes (cluster)',
  takesSeconds: 100,
  run: async (context) => {
    if (context.topology !== 'cluster') return { verdict: { skipped: 'needs --topology cluster' }, breaches: [] };
    const queues = Object.keys(MODES).flatMap((mode) => USES.map((use) => `${mode}-${use}`));
    return QueueWorld.with(context, { shards: 3, queues, ttlMs: TTL_MS, tuning: { prefetch: PREFETCH, concurrency: 24 }, start: withReplicas }, async (world) => {
      const { rng, short, say } = context;
      if (world.topology.kind !== 'cluster') throw new Error('a cluster only');
      const { cluster } = world.topology;
      await Promise.all([
        ...queues.filter((name) => name.endsWith('live')).flatMap((queue) => [world.consume({ queue }), world.consume({ queue })]),
        ...queues.map((queue) => world.produce({ queue, perSecond: PER_SECOND, maxWorkMs: 5, options: MODES[queue.split('-')[0]!] })),
      ]);
      const breaches: string[] = [];
      await world.resumed();
      say(`all at work: ${queues.join(', ')}`);
      const kills = short ? 1 : 4;
      let killsBehind = 0;
      const failoverMs: number[] = [];
      const resumeMs: number[] = [];
      const allowedMs = within(context, RESUME_MS);
      for (let i = 0; i < kills; i++) {
        await sleep(short ? 500 : Math.max(0, EVERY_MS - (resumeMs.at(-1) ?? 0)));
        const primaries: Array<(typeof cluster.nodes)[number]> = [];
        for (const node of cluster.nodes) if (await isMaster(node)) primaries.push(node);
        const killedAt = Date.now();
        const behindMs = i % 2 === 0 ? BEHIND_MS : 0;
        if (behindMs > 0) killsBehind++;
        failoverMs.push(await killPrimary(cluster, rng.pick(primaries), behindMs));
        const back = await world.resumed(2 * allowedMs);
        resumeMs.push(Date.now() - killedAt);
        say(`primary killed: another in its place after ${failoverMs.at(-1)} ms, all at work again after ${resumeMs.at(-1)} ms`);
        if (resumeMs.at(-1)! > allowedMs) breaches.push(`resumed ${resumeMs.at(-1)} ms after a kill (allowed ${allowedMs}); not back: ${back.missing.join(', ') || 'nobody'}`);
      }
      await sleep(500);
      await Promise.all(world.producers.map((producer) => producer.ask({ type: 'hold' }, 'held')));
      for (const queue of queues.filter((name) => name.endsWith('kept'))) await world.readQueue(queue);
      let open = -1;
      // Those that nobody consumes stay open; the others come to rest.
      for (let since = performance.now(); performance.now() - since < (short ? 1_500 : QUIET_MS); await sleep(100)) {
        await world.sync();
        if (open !== world.account.open) [open, since] = [world.account.open, performance.now()];
      }
      breaches.push(...(await world.stopConsumers()));
      for (const queue of queues.filter((name) => name.endsWith('live'))) await world.readQueue(queue);
      const verdict: Record<string, unknown> = { kills, killsWithReplicaBehind: killsBehind, replicaBehindMs: BEHIND_MS, failoverMs, resumeMs, resumeAllowedMs: allowedMs };
      for (const [i, queue] of queues.entries()) {
        // Here a primary has one replica and no other takes its place, so what that one has confirmed must be there.
        const tolerated: readonly Forbidden[] = queue.startsWith('replicated') ? TOLERATED : [...TOLERATED, 'lost'];
        const { counts, breaches: broken } = world.judge({ tolerated, producers: new Set([i + 1]) });
        const { resolved, unsent, unsure, effects, keptUnhandled, lost, handledUnderTwoIds, reruns } = counts;
        verdict[queue] = { resolved, unsent, unsure, effects, keptUnhandled, resolvedButMissing: lost, handledUnderTwoIds, reruns };
        breaches.push(...broken.map((text) => `${queue}: ${text}`));
      }
      await Promise.all(world.producers.map((producer) => producer.stop())).catch((error: unknown) => breaches.push(String(error)));
      breaches.push(...world.leftovers());
      const { storedTwice } = world.judge({ tolerated: TOLERATED }).counts;
      return { verdict: { ...verdict, storedTwice, rejections: world.account.rejections, sessions: world.account.sessions.size, troubles: world.troubles().length }, breaches };
    });
  },
};
