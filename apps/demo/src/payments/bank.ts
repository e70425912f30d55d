import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Redis } from 'ioredis';
import { readConfig } from '../config.js';
import { LEDGER_FIELD } from '../ledger/marks.js';
import { type Answer, type Attempt, BANK_KEYS, type BankMark } from './marks.js';

/**
 * The guard that an application's own store has, be it SQL or, as here, a Redis of its own: a fencing token must not be
 * older than the newest one seen for the partition, and an account's payments come in order, each once. The attempt is
 * written into the journal in the same step, whatever the answer.
 */
const BOOK = `
local fences, numbers, sums, journal = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local partition, token, account, number, cents = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local answer = 'stale'
if tonumber(token) >= tonumber(redis.call('HGET', fences, partition) or '0') then
  redis.call('HSET', fences, partition, token)
  local behind = tonumber(number) - tonumber(redis.call('HGET', numbers, account) or '0')
  answer = behind < 1 and 'repeated' or behind > 1 and 'early' or 'booked'
  if answer == 'booked' then
    redis.call('HSET', numbers, account, number)
    redis.call('HINCRBY', sums, account, cents)
  end
end
redis.call('XADD', journal, '*', ARGV[6], string.sub(ARGV[7], 1, -2) .. ',"answer":"' .. answer .. '"}')
return answer`;

type Booking = Redis & { book(...keysAndArguments: Array<string | number>): Promise<Answer> };

@Injectable()
export class Bank implements OnApplicationShutdown {
  private readonly redis = connect(readConfig().bankUrl);

  async book(attempt: Attempt): Promise<Answer> {
    const { partition, token, account, number, cents } = attempt;
    return this.redis.book(...Object.values(BANK_KEYS), partition, token, account, number, cents, LEDGER_FIELD, JSON.stringify({ mark: 'attempt', ...attempt }));
  }

  async write(...marks: BankMark[]): Promise<void> {
    await Promise.all(marks.map((mark) => this.redis.xadd(BANK_KEYS.journal, '*', LEDGER_FIELD, JSON.stringify(mark))));
  }

  async onApplicationShutdown(): Promise<void> {
    await this.redis.quit().catch(() => this.redis.disconnect());
  }
}

function connect(url: string | undefined): Booking {
  if (url === undefined) throw new Error('a bank is needed: npm run demo -- --scenario rebalance starts one, with the workers');
  const redis = new Redis(url, { maxRetriesPerRequest: null, enableAutoPipelining: true });
  redis.on('error', () => undefined);
  redis.defineCommand('book', { numberOfKeys: Object.keys(BANK_KEYS).length, lua: BOOK });
  return redis as Booking;
}

/** Every account's balance, as the bank has it. */
export async function balances(url: string): Promise<Map<string, number>> {
  const redis = new Redis(url, { maxRetriesPerRequest: 1 });
  redis.on('error', () => undefined);
  try {
    return new Map(Object.entries(await redis.hgetall(BANK_KEYS.balances)).map(([account, cents]) => [account, Number(cents)]));
  } finally {
    redis.disconnect();
  }
}
