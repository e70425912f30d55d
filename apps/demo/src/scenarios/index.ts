import { balance } from './balance.js';
import { failover } from './failover.js';
import { graceful } from './graceful.js';
import { highLoad } from './high-load.js';
import { queue } from './queue.js';
import { rebalance } from './rebalance.js';
import { rooms } from './rooms.js';
import { scaleOut } from './scale-out.js';
import type { Scenario } from './scenario.js';
import { transport } from './transport.js';

export const SCENARIOS: readonly Scenario[] = [balance, failover, scaleOut, graceful, highLoad, rebalance, rooms, queue, transport];
