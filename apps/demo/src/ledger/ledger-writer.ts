import { Injectable } from '@nestjs/common';
import type { StreamLease } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { DataStreams } from '../orders/data-streams.js';
import { LEDGER_FIELD, LEDGER_LIMIT, ledgerKey, type Mark } from './marks.js';

@Injectable()
export class LedgerWriter {
  private readonly key = ledgerKey(readConfig().service);

  constructor(private readonly data: DataStreams) {}

  /** One connection, so marks of one process stand in the order in which it wrote them. */
  async write(...marks: Mark[]): Promise<void> {
    await Promise.all(marks.map((mark) => this.data.redis.xadd(this.key, 'MAXLEN', '~', LEDGER_LIMIT, '*', LEDGER_FIELD, JSON.stringify(mark))));
  }
}

export function runOf(lease: Pick<StreamLease, 'entryId' | 'stream' | 'token' | 'owner'>): { entry: string; stream: string; token: number; owner: string } {
  return { entry: lease.entryId, stream: lease.stream, token: lease.token, owner: lease.owner };
}
