import { Redis } from 'ioredis';
import { type LeaseStats, RedisStreamsEngine } from 'nestjs-redis-streams';
import type { Accounts } from '../ledger/accounts.js';
import { judge, type Judgement } from '../ledger/judge.js';
import { ledgerKey } from '../ledger/marks.js';

const ALL = 1_000_000;

/** Asks Redis itself what is left, over the library without Nest: the API may be gone by then. */
export class Aftermath {
  private readonly engine: RedisStreamsEngine;

  constructor(private readonly url: string, private readonly service: string) {
    this.engine = new RedisStreamsEngine({ connection: { url } });
  }

  static openOf(stats: LeaseStats): number {
    return stats.undelivered + stats.held + stats.expired + stats.free + stats.followUps;
  }

  async open(): Promise<number> {
    return Aftermath.openOf(await this.engine.leases().stats(this.service));
  }

  async judge(accounts: Accounts): Promise<Judgement> {
    const leases = this.engine.leases();
    const [open, dead] = await Promise.all([leases.list(this.service, { limit: ALL }), leases.deadLetters(this.service, { limit: ALL })]);
    return judge(accounts.byEntry.values(), new Set(open.map(({ entryId }) => entryId)), new Set(dead.map(({ fields }) => fields['entryId'] ?? '')));
  }

  /** Takes a scenario's own keys off a server that is not ours. */
  async sweep(accounts: Accounts): Promise<void> {
    const redis = new Redis(this.url);
    const keys = [`${this.service}-input`, ledgerKey(this.service), ...[...accounts.byEntry.values()].map(({ stream }) => stream)];
    let cursor = '0';
    do {
      const [next, found] = await redis.scan(cursor, 'MATCH', `{${this.service}-input}:*`, 'COUNT', 1_000);
      keys.push(...found);
      cursor = next;
    } while (cursor !== '0');
    for (let i = 0; i < keys.length; i += 500) await redis.del(...keys.slice(i, i + 500));
    redis.disconnect();
  }

  close(): Promise<void> {
    return this.engine.stop();
  }
}
