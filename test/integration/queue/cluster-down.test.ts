import { afterEach, expect, it } from 'vitest';
import { waitUntil } from '../../support/wait.js';
import { ClusterPlay, SHARDS, TTL_MS } from './support/cluster-play.js';

// A cluster of which a slot has no master any more answers CLUSTERDOWN to everything, the slots that are served included
// (`cluster-require-full-coverage yes`, the default). Commands are tried again until it is whole.

let play: ClusterPlay | undefined;
afterEach(async () => {
  await play?.end();
  play = undefined;
});

/** That none of the queue's keys is in. */
const SLOT = 0;

it('a cluster that is down for longer than the session ttl: senders and consumers wait, nothing is refused or lost, all goes on when it is whole', async () => {
  play = await ClusterPlay.begin({ nodeTimeoutMs: 2_000 });
  const { masters } = play.cluster;
  const owner = masters.find(({ slots: [first] }) => first === SLOT)!;
  const stateIs = (state: string): Promise<unknown> => waitUntil(
    async () => (await Promise.all(masters.map((master) => master.cli('CLUSTER', 'INFO')))).every((info) => String(info).includes(`cluster_state:${state}`)),
    { what: `all masters call the cluster ${state}`, timeoutMs: 30_000 },
  );
  // Each master by itself: that a slot is nobody's does not get around.
  await Promise.all(masters.map((master) => master.cli('CLUSTER', 'DELSLOTS', SLOT)));
  await stateIs('fail');
  const down = performance.now();
  await waitUntil(() => performance.now() > down + 2 * TTL_MS, { what: 'it is down for long', intervalMs: 100 });
  const sentMeanwhile = play.sent.filter(({ begun, ms }) => begun > down && begun + ms < down + 2 * TTL_MS);
  await owner.cli('CLUSTER', 'ADDSLOTS', SLOT);
  await stateIs('ok');
  const whole = performance.now();
  for (let shard = 0; shard < SHARDS; shard++) await play.flows(shard, whole, `shard ${shard} goes on`);
  await play.settled();
  expect(sentMeanwhile).toEqual([]);
  expect(play.refused).toEqual([]);
}, 120_000);
