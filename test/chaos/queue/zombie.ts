import { LUA } from '../library.js';
import { GROUP, type QueueWorld } from './world.js';

export interface ZombieTally {
  tried: number;
  readonly accepted: string[];
}

/** Sends what a consumer without any fence of its own would send past its deadline: that all it held is done. */
export async function probe(world: QueueWorld, sessions: readonly string[], tally: ZombieTally): Promise<void> {
  for (const { messages, dead, bell, group } of world.keys()) {
    const own = group(GROUP);
    for (const session of sessions) {
      const [deadline, [seconds, micros]] = await Promise.all([world.redis.zscore(own.sessions, session), timeOf(world, messages)]);
      // Not of this shard's, or alive after all.
      if (deadline !== null && Number(deadline) > seconds * 1_000 + micros / 1_000) continue;
      const rows = (await world.redis.xpending(messages, GROUP, '-', '+', 5, session)) as Array<[string]>;
      const ids = rows.length > 0 ? rows.map(([id]) => id) : ['1-1'];
      const reply = await world.redis.eval(LUA['queue-settle'] ?? '', 5, messages, own.sessions, own.retries, own.attempts, dead, session, GROUP, bell, ids.length, 0, 0, 0, ...ids);
      tally.tried++;
      if (reply !== 'LOST') tally.accepted.push(`${session}: ${String(reply)}`);
    }
  }
}

async function timeOf(world: QueueWorld, key: string): Promise<[number, number]> {
  // TIME has no key to be routed by.
  const reply = (await world.redis.eval("return redis.call('TIME')", 1, key)) as [string, string];
  return [Number(reply[0]), Number(reply[1])];
}
