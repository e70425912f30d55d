import { setTimeout as sleep } from 'node:timers/promises';
import type { Rng } from '../support/seed.js';
import type { Proxies } from './proxies.js';
import type { World } from './world.js';

export interface Fault {
  readonly name: string;
  /** Announcements from before are gone with it. */
  readonly wipes: boolean;
  /** Resolves when the fault is over and nothing stands in the way of resuming. */
  apply(world: World, proxies: Proxies, rng: Rng): Promise<void>;
}

export const FAULTS: readonly Fault[] = [
  { name: 'XGROUP DESTROY', wipes: false, apply: async (world) => void (await world.cli('XGROUP', 'DESTROY', world.lbs, `${world.service}-group`)) },
  { name: 'all connections cut', wipes: false, apply: async (_world, proxies) => proxies.cutAll() },
  { name: 'all connections half-open', wipes: false, apply: async (_world, proxies) => proxies.halfOpenAll() },
  {
    name: 'black hole', wipes: false,
    apply: async (_world, proxies, rng) => {
      proxies.blackhole(true);
      await sleep(rng.int(300, 4_000));
      proxies.blackhole(false);
    },
  },
  {
    name: 'server paused', wipes: false,
    apply: async (world, _proxies, rng) => {
      await world.server.kill('SIGSTOP');
      await sleep(rng.int(300, 3_000));
      await world.server.kill('SIGCONT');
    },
  },
  { name: 'DEL of the LBS', wipes: true, apply: async (world) => void (await world.cli('DEL', world.lbs)) },
  { name: 'FLUSHALL', wipes: true, apply: async (world) => void (await world.cli('FLUSHALL')) },
  { name: 'SCRIPT FLUSH', wipes: false, apply: async (world) => void (await world.cli('SCRIPT', 'FLUSH')) },
  {
    name: 'restarted empty', wipes: true,
    apply: async (world) => {
      await world.server.restart({ empty: true });
      if (world.topology.kind === 'cluster') await world.topology.cluster.settled();
    },
  },
];
