import type { Redis } from 'ioredis';

export interface ServerCounters {
  /** Commands processed, those inside scripts included. */
  readonly commands: number;
  readonly byCommand: ReadonlyMap<string, number>;
  /** CPU time of the server process so far. */
  readonly cpuMs: number;
  readonly usedMemoryBytes: number;
}

/** The server's own counters. Reading them is itself one INFO per section, which is left out of `commands`. */
export async function readCounters(admin: Redis): Promise<ServerCounters> {
  const byCommand = new Map<string, number>();
  for (const [, command, calls] of (await admin.info('commandstats')).matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)) {
    if (command !== 'info') byCommand.set(command!, Number(calls));
  }
  const cpu = await admin.info('cpu');
  const number = (text: string, name: string): number => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(text)?.[1] ?? 0);
  return {
    commands: [...byCommand.values()].reduce((sum, calls) => sum + calls, 0),
    byCommand,
    cpuMs: 1_000 * (number(cpu, 'used_cpu_sys') + number(cpu, 'used_cpu_user')),
    usedMemoryBytes: number(await admin.info('memory'), 'used_memory'),
  };
}
