import type { Scenario } from '../scenario.js';
import { fairness } from './fairness.js';
import { fanoutLockstep } from './fanout-lockstep.js';
import { fanoutProxy } from './fanout-proxy.js';
import { followUps } from './follow-ups.js';
import { killRandom } from './kill-random.js';
import { partitionBarrier } from './partition-barrier.js';
import { partitionKills } from './partition-kills.js';
import { partitionPoison } from './partition-poison.js';
import { partitionRolling } from './partition-rolling.js';
import { pause } from './pause.js';
import { poison } from './poison.js';
import { serverFaults } from './server-faults.js';
import { slowAndBlocked } from './slow-and-blocked.js';
import { takeover } from './takeover.js';
import { takeoverMany } from './takeover-many.js';

export const scenarios: readonly Scenario[] = [takeover, takeoverMany, pause, slowAndBlocked, serverFaults, killRandom, followUps, poison, fairness, partitionKills, partitionRolling, partitionBarrier, partitionPoison, fanoutLockstep, fanoutProxy];
