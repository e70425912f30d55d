import { Cluster, type Redis } from 'ioredis';
import { keysOf } from '../queue/library.js';
import { EVENT_QUEUE, REQUEST_QUEUES, UNROUTED_QUEUE } from './messages.js';
import type { TransportWorld } from './world.js';

/** A client's replies expire so long after it was last heard of. */
const REPLIES_MS = 30_000;
/** What a producer leaves for its resends, when it was closed; and when it was killed. */
const RECORDS_MS = 60_000;
const ORPHANED_MS = 600_000;

/** Queues themselves, which stay: their registration, and the stream with its groups. */
const KEPT = /^\{queue:transport:[^}]+\}:(queue|messages)$/;

const QUEUES = [EVENT_QUEUE, ...REQUEST_QUEUES, UNROUTED_QUEUE];

/** What is in the queues when all is handled: nothing. */
export async function backlog(world: TransportWorld): Promise<{ pending: number; kept: number; dead: number }> {
  const { redis, options: { shards } } = world;
  const sums = { pending: 0, kept: 0, dead: 0 };
  for (const queue of QUEUES) {
    for (const keys of keysOf(queue, queue === UNROUTED_QUEUE ? 1 : shards)) {
      sums.kept += await redis.xlen(keys.messages);
      sums.dead += await redis.xlen(keys.dead);
      for (const group of await groupsOf(redis, keys.messages)) sums.pending += group.pending;
    }
  }
  return sums;
}

/** Consumers of all groups that are none of a session which lives, by the ledger's word. */
export async function strangers(world: TransportWorld): Promise<string[]> {
  const { redis, options: { shards }, account, killed } = world;
  const found: string[] = [];
  for (const queue of [EVENT_QUEUE, ...REQUEST_QUEUES]) {
    for (const { messages } of keysOf(queue, shards)) {
      for (const { name } of await groupsOf(redis, messages)) {
        for (const row of (await redis.xinfo('CONSUMERS', messages, name)) as unknown[][]) {
          const consumer = String(row[row.indexOf('name') + 1]);
          const book = account.services.get(name) ?? account.requests;
          const session = book.sessions.get(consumer);
          if (session?.state !== 'live' || killed.has(session.by)) found.push(`${consumer} in ${name} of ${messages}`);
        }
      }
    }
  }
  return found;
}

export interface Traces {
  readonly keys: number;
  /** Reply streams that are there still. */
  readonly replies: number;
  readonly records: number;
  /** Records that are kept for longer, of producers that could not say that they end. */
  readonly orphaned: number;
  /** What should be gone, or should go sooner. */
  readonly wrong: readonly string[];
}

/** Every key of every server, when all clients are gone and all servers have stopped. */
export async function traces(world: TransportWorld): Promise<Traces> {
  const nodes = world.redis instanceof Cluster ? world.redis.nodes('master') : [world.redis];
  const wrong: string[] = [];
  let keys = 0, replies = 0, records = 0, orphaned = 0;
  for (const node of nodes) {
    for (let cursor = '0'; ; ) {
      const [next, page] = await node.scan(cursor, 'COUNT', 1_000);
      for (const key of page) {
        const ttl = await node.pttl(key);
        if (ttl === -2) continue; // gone meanwhile
        keys++;
        const isReplies = key.endsWith(':replies'), isRecord = key.includes(':producer:');
        if (isReplies) replies++;
        if (isRecord) records++;
        if (isRecord && ttl > RECORDS_MS) orphaned++;
        const expires = (ms: number): boolean => ttl >= 0 && ttl <= ms;
        if (isReplies ? !expires(REPLIES_MS) : isRecord ? !expires(ORPHANED_MS) : !KEPT.test(key)) wrong.push(`${key} (${ttl === -1 ? 'for ever' : `for ${ttl} ms`})`);
      }
      if ((cursor = next) === '0') break;
    }
  }
  return { keys, replies, records, orphaned, wrong };
}

async function groupsOf(redis: Redis | Cluster, stream: string): Promise<Array<{ name: string; pending: number }>> {
  const rows = (await redis.xinfo('GROUPS', stream).catch(() => [])) as unknown[][]; // no such stream
  return rows.map((row) => ({ name: String(row[row.indexOf('name') + 1]), pending: Number(row[row.indexOf('pending') + 1]) }));
}
