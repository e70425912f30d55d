import { redisCommand } from '../support/redis-command.js';

/**
 * How times of different processes are compared. Deadlines are server TIME. Server, workers and runner share one
 * machine, so `Date.now()` and TIME read the same kernel clock, and no constant of drift is in between; load can
 * only delay *when* a process reads it, which makes a measured time longer, never shorter. To be sure of that
 * (a container with a clock namespace, a remote server) each process measures its offset once: of several
 * TIME calls the one with the shortest round trip bounds the offset to half that trip, and an offset within
 * the bound counts as none.
 */
export async function serverClock(port: number): Promise<() => number> {
  let best = Infinity;
  let offset = 0;
  for (let i = 0; i < 9; i++) {
    const before = performance.now();
    const wall = Date.now();
    const [seconds, micros] = (await redisCommand(port, 'TIME')) as [string, string];
    const trip = performance.now() - before;
    if (trip >= best) continue;
    best = trip;
    offset = Number(seconds) * 1_000 + Number(micros) / 1_000 - (wall + trip / 2);
  }
  const shift = Math.abs(offset) <= best / 2 + 1 ? 0 : offset;
  return () => Date.now() + shift;
}
