import type { Reply } from '../../../support/redis-command.js';
import { waitUntil } from '../../../support/wait.js';
import type { World } from './world.js';

/** The names a service's keys are documented to have: spelled out here, so that renaming one breaks a test. */
export const keysOf = (service: string) => ({
  lbs: `${service}-input`,
  group: `${service}-group`,
  sessions: `{${service}-input}:sessions`,
  members: `{${service}-input}:members`,
  names: `{${service}-input}:names`,
  leases: `{${service}-input}:leases`,
  checkpoints: `{${service}-input}:checkpoints`,
  free: `{${service}-input}:free`,
  followUps: `{${service}-input}:follow-ups`,
  epoch: `{${service}-input}:epoch`,
  settled: `{${service}-input}:settled`,
  dead: `{${service}-input}:dead`,
});

/** XADD as any other language would do it. */
export async function xadd(world: World, service: string, stream: string, info: object = {}): Promise<string> {
  const { lbs } = keysOf(service);
  return String(await world.cli(['XADD', lbs, '*', 'lbs-input', JSON.stringify({ DataStreamName: stream, Info: info })]));
}

export async function pendingTotal(world: World, service: string): Promise<number> {
  const { lbs, group } = keysOf(service);
  return Number((await world.cli(['XPENDING', lbs, group]) as Reply[])[0]);
}

/** Consumer -> pending. */
export async function pendingByConsumer(world: World, service: string): Promise<Record<string, number>> {
  const { lbs, group } = keysOf(service);
  const [, , , rows] = (await world.cli(['XPENDING', lbs, group])) as [number, Reply, Reply, [string, string][] | null];
  return Object.fromEntries((rows ?? []).map(([name, count]) => [name, Number(count)]));
}

export async function consumersOf(world: World, service: string): Promise<string[]> {
  const { lbs, group } = keysOf(service);
  return ((await world.cli(['XINFO', 'CONSUMERS', lbs, group], lbs)) as Reply[][]).map((row) => String(row[row.indexOf('name') + 1]));
}

/** Everything announced is over: nothing in the stream, nothing pending. */
export async function allDone(world: World, service: string, timeoutMs = 20_000): Promise<void> {
  const { lbs } = keysOf(service);
  await waitUntil(async () => Number(await world.cli(['XLEN', lbs])) === 0 && (await pendingTotal(world, service)) === 0, {
    what: `everything announced to ${service} is done`, timeoutMs,
  });
}
