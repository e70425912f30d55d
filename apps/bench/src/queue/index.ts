import type { Bench } from '../model.js';
import type { Role } from '../workers/role.js';
import { queueAmiBench } from './ami.js';
import { queueAmiRoles } from './ami-roles.js';
import { queueBullmqBench } from './bullmq.js';
import { queueBullmqRoles } from './bullmq-roles.js';
import { queueClusterBench } from './cluster.js';
import { queueClusterRoles } from './cluster-roles.js';
import { queueConsumerRoles } from './consumers.js';
import { queueDelayedBench } from './delayed.js';
import { queueDelayedRoles } from './delayed-roles.js';
import { queueAofBench, queueEndToEndBench } from './end-to-end.js';
import { queueLatencyBench } from './latency.js';
import { queueLatencyRoles } from './latency-roles.js';
import { queueLoopRoles } from './loops.js';
import { queueNestBench } from './nest.js';
import { queueNestRoles } from './nest-roles.js';
import { queueProducerRoles } from './producers.js';

export const QUEUE: readonly Bench[] = [queueEndToEndBench, queueBullmqBench, queueAofBench, queueNestBench, queueLatencyBench, queueDelayedBench, queueClusterBench, queueAmiBench];

export const queueRoles: Readonly<Record<string, Role>> = {
  ...queueAmiRoles, ...queueBullmqRoles, ...queueClusterRoles, ...queueConsumerRoles, ...queueDelayedRoles, ...queueLatencyRoles, ...queueLoopRoles, ...queueNestRoles, ...queueProducerRoles,
};
