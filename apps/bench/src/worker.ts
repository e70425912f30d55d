// A child process of the bench: plays the role named in BENCH_WORKER until it is killed.
import 'reflect-metadata';
import { queueRoles } from './queue/index.js';
import { transportRoles } from './transport/index.js';
import { announceRoles } from './workers/announce.js';
import { backlogRoles } from './workers/backlog.js';
import { fanoutIdleRoles } from './workers/fanout-idle.js';
import { fanoutLockstepRoles } from './workers/fanout-lockstep.js';
import { fanoutOutOfBandRoles } from './workers/fanout-out-of-band.js';
import { holdRoles } from './workers/hold.js';
import { latencyRoles } from './workers/latency.js';
import { nestRoles } from './workers/nest.js';
import { partitionConsumerRoles } from './workers/partition-consumers.js';
import { partitionLatencyRoles } from './workers/partition-latency.js';
import { partitionLoopRoles } from './workers/partition-loops.js';
import { partitionNestRoles } from './workers/partition-nest.js';
import { partitionProducerRoles } from './workers/partition-producers.js';
import type { Role } from './workers/role.js';
import type { Message, WorkerOptions } from './support/worker.js';

const ROLES: Readonly<Record<string, Role>> = {
  ...announceRoles, ...backlogRoles, ...holdRoles, ...latencyRoles, ...nestRoles,
  ...fanoutIdleRoles, ...fanoutLockstepRoles, ...fanoutOutOfBandRoles,
  ...partitionConsumerRoles, ...partitionLatencyRoles, ...partitionLoopRoles, ...partitionNestRoles, ...partitionProducerRoles,
  ...queueRoles,
  ...transportRoles,
};

const { role, url, options } = JSON.parse(process.env['BENCH_WORKER'] ?? '{}') as { role: string; url: string; options: WorkerOptions };
const play = ROLES[role];
if (!play) throw new Error(`no role "${role}"`);

const tell = (message: Message): void => void process.send?.(message);
const handle = await play({ url, options, tell });
process.on('message', (message) => {
  handle(message as Message).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
tell({ type: 'ready' });
