import type { Bench } from '../model.js';
import type { Role } from '../workers/role.js';
import { queueConsumerRoles } from './consumers.js';
import { queueAofBench, queueEndToEndBench } from './end-to-end.js';
import { queueLoopRoles } from './loops.js';
import { queueProducerRoles } from './producers.js';

export const QUEUE: readonly Bench[] = [queueEndToEndBench, queueAofBench];

export const queueRoles: Readonly<Record<string, Role>> = { ...queueConsumerRoles, ...queueLoopRoles, ...queueProducerRoles };
