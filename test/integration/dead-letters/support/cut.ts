import { type Cutter, startCutter } from '../../support/cutter.js';
import type { World } from './world.js';

/** On one server: an engine that speaks through it may lose just the answer it is told to lose. */
export async function cutter(world: World): Promise<Cutter> {
  const proxy = await startCutter(world.topology.servers[0]!.port);
  world.onEnd(() => proxy.stop());
  return proxy;
}
