import { setTimeout as pause } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import {
  OnPartitionsAssigned, OnPartitionsLost, OnPartitionsRevoked, type PartitionContext, PartitionHandler, type PartitionsEvent,
  type PartitionsLost, type PartitionsRevoked, RedisStreamsEngine,
} from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { Bank } from '../payments/bank.js';
import { BOOKING, bookingMs, CONCURRENCY, type Payment, PAYMENTS, PREFETCH } from '../payments/payment.js';
import { count, say } from '../ui/lines.js';

const config = readConfig();
const GROUP = { stream: PAYMENTS, group: BOOKING };

/** Books payments: the part of the demo that an application would write. */
@Injectable()
export class PaymentHandler {
  private readonly me: string;

  constructor(private readonly bank: Bank, engine: RedisStreamsEngine) {
    this.me = engine.consumerName;
  }

  @PartitionHandler({ ...GROUP, concurrency: CONCURRENCY, prefetch: PREFETCH })
  async book(payment: Payment, ctx: PartitionContext): Promise<void> {
    const startedAt = Date.now();
    await pause(bookingMs(config.speed));
    const { partition, fencingToken: token } = ctx;
    const answer = await this.bank.book({ worker: this.me, partition, token, ...payment, startedAt });
    const { account, number, cents } = payment;
    if (answer === 'stale') return say(this.me, 'refused', `${account}#${number}`, `by the bank: partition ${partition} has a newer owner`);
    if (answer === 'early') throw new Error(`${account}#${number} came before the one it follows`);
    if (!config.quiet || answer === 'repeated') say(this.me, answer, `${account}#${number}`, `$${(cents / 100).toFixed(2)}, partition ${partition}`);
  }

  @OnPartitionsAssigned(GROUP)
  async assigned({ partitions }: PartitionsEvent): Promise<void> {
    say(this.me, 'assigned', count(partitions.length, 'partition'), listed(partitions));
    await this.bank.write({ mark: 'assigned', worker: this.me, partitions });
  }

  @OnPartitionsRevoked(GROUP)
  async revoked({ partitions, reason }: PartitionsRevoked): Promise<void> {
    say(this.me, 'revoked', count(partitions.length, 'partition'), `${listed(partitions)} (${reason})`);
    await this.bank.write({ mark: 'revoked', worker: this.me, partitions, reason });
  }

  @OnPartitionsLost(GROUP)
  async lost({ partitions, reason }: PartitionsLost): Promise<void> {
    say(this.me, 'lost', count(partitions.length, 'partition'), `${listed(partitions)} (${reason})`);
    await this.bank.write({ mark: 'lost', worker: this.me, partitions, reason });
  }
}

function listed(partitions: PartitionsEvent['partitions']): string {
  return partitions.map(({ partition }) => partition).join(' ');
}
