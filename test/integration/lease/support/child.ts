import { spawnNode, type TestProcess } from '../../../support/processes.js';
import { QUICK } from '../../support/world.js';
import type { ConsumerJob } from '../fixtures/consumer.js';
import type { World } from './world.js';

export interface ChildMessage { readonly type: string; readonly session?: string; readonly code?: string; readonly stream?: string; readonly why?: string; readonly reason?: string }

/** A consumer in a process of its own, started; the test's end kills it. */
export async function startChild(world: World, job: Omit<ConsumerJob, 'options'> & { options?: ConsumerJob['options'] }): Promise<TestProcess<ChildMessage>> {
  const child = spawnChild(world, job);
  await child.waitFor(({ type }) => type === 'started', 15_000, 'its start');
  return child;
}

export function spawnChild(world: World, job: Omit<ConsumerJob, 'options'> & { options?: ConsumerJob['options'] }): TestProcess<ChildMessage> {
  const full: ConsumerJob = { ...job, options: { ...QUICK, connection: world.connection, ...job.options } };
  const child = spawnNode<ChildMessage>(new URL('../fixtures/consumer.ts', import.meta.url), { args: [JSON.stringify(full)] });
  world.onEnd(() => child.kill());
  return child;
}
