import type { Cluster, Redis } from 'ioredis';
import type { Account } from './account.js';
import type { QueueShardKeys } from './library.js';
import type { Task } from './messages.js';
import type { ConsumerProcess } from './workers.js';

export interface Scene {
  readonly account: Account;
  /** For looking past the library. */
  readonly redis: Redis | Cluster;
  readonly group: string;
  readonly shards: readonly QueueShardKeys[];
  readonly consumers: readonly ConsumerProcess[];
}

/**
 * Where messages are that nobody handles although nothing is done to anybody: in the stream, with whom as the server sees
 * it, and what each process says it has in hand. Meant for a person who reads the log.
 */
export async function whereabouts({ account, redis, group, shards, consumers }: Scene, most = 5): Promise<string[]> {
  const missing = new Set(account.unhandled(most));
  const lines = [...missing].map((unit) => `nobody handles ${unit}`);
  for (const [shard, keys] of shards.entries()) {
    const { messages } = keys;
    const own = keys.group(group);
    for (const [id, fields] of await redis.xrange(messages, '-', '+', 'COUNT', 1_000)) {
      const { p, n } = JSON.parse(fields[fields.indexOf('data') + 1] ?? '{}') as Task;
      if (!missing.has(`${p}#${n}`)) continue;
      const [row] = (await redis.xpending(messages, group, id, id, 1)) as Array<[string, string, number, number]>;
      const record = await redis.hget(own.attempts, id);
      if (!row) lines.push(`${p}#${n} is ${id} of shard ${shard}, given to nobody`);
      else lines.push(`${p}#${n} is ${id} of shard ${shard}, for ${row[2]} ms with ${row[1]}, given ${row[3]} times, attempts ${record ?? '-'}, deadline ${String(await redis.zscore(own.sessions, row[1]))}, due ${String(await redis.zscore(own.retries, id))}`);
    }
    lines.push(`shard ${shard}: ${JSON.stringify(await redis.call('XINFO', 'CONSUMERS', messages, group))}`);
  }
  const hands = consumers.map(async (consumer) => {
    const said = await consumer.ask({ type: 'hands' }, 'hands', 1_000).catch(String);
    return `${consumer.process.label}: ${typeof said === 'string' ? said : `holds ${said.held}, runs ${said.running}, sessions ${said.sessions.join(' ')}`}`;
  });
  return [...lines, ...(await Promise.all(hands))];
}
