import type { Bench } from '../model.js';
import { QUEUE } from '../queue/index.js';
import { TRANSPORT } from '../transport/index.js';
import { announceBench } from './announce.js';
import { assignDoneBench } from './assign-done.js';
import { fanoutAckedBench } from './fanout-acked.js';
import { fanoutIdleBench } from './fanout-idle.js';
import { fanoutJoinBench } from './fanout-join.js';
import { fanoutLockstepBench, fanoutProcessesBench } from './fanout-lockstep.js';
import { fanoutOutOfBandBench } from './fanout-out-of-band.js';
import { heartbeatBench } from './heartbeat.js';
import { latencyBench } from './latency.js';
import { memoryBench } from './memory.js';
import { nestBench } from './nest.js';
import { partitionBacklogBench, partitionEndToEndBench } from './partition-end-to-end.js';
import { partitionLatencyBench } from './partition-latency.js';
import { partitionNestBench } from './partition-nest.js';
import { partitionProduceBench } from './partition-produce.js';

const LEASE: readonly Bench[] = [announceBench, assignDoneBench, latencyBench, heartbeatBench, memoryBench, nestBench];
const PARTITION: readonly Bench[] = [partitionEndToEndBench, partitionBacklogBench, partitionNestBench, partitionProduceBench, partitionLatencyBench];
const FANOUT: readonly Bench[] = [fanoutLockstepBench, fanoutProcessesBench, fanoutAckedBench, fanoutJoinBench, fanoutIdleBench, fanoutOutOfBandBench];

/** What may be asked for by name: every bench, and suites of them. */
export const CATALOGUE: ReadonlyMap<string, { readonly about: string; readonly benches: readonly Bench[] }> = new Map([
  ['lease', { about: 'all benches of the lease capability', benches: LEASE }],
  ['partition', { about: 'all benches of the partition capability', benches: PARTITION }],
  ['fanout', { about: 'all benches of the fanout capability', benches: FANOUT }],
  ['queue', { about: 'all benches of the queue capability', benches: QUEUE }],
  ['transport', { about: 'all benches of the Nest transport', benches: TRANSPORT }],
  ...[...LEASE, ...PARTITION, ...FANOUT, ...QUEUE, ...TRANSPORT].map((bench) => [bench.name, { about: bench.about, benches: [bench] }] as const),
]);
