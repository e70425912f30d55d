import { Injectable } from '@nestjs/common';
import { PartitionService } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { Bank } from '../payments/bank.js';
import { ACCOUNTS, type Payment, PAYMENTS } from '../payments/payment.js';
import { say } from '../ui/lines.js';

const MAX_BATCH = 500;
const TICK_MS = 20;

/** Makes payments at a rate; the account is the key, so an account's payments stay in order. */
@Injectable()
export class PaymentProducer {
  sent = 0;
  private readonly rate = readConfig().rate;
  private readonly numbers = new Map<string, number>();
  private due = 0;
  private last = performance.now();
  private timer: NodeJS.Timeout | undefined;
  private busy = false;
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly partitions: PartitionService, private readonly bank: Bank) {}

  start(): void {
    this.last = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  /** Makes no more; what is being sent is finished. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.running;
  }

  private tick(): void {
    const now = performance.now();
    this.due += ((now - this.last) * this.rate) / 1_000;
    this.last = now;
    if (this.busy || this.due < 1) return;
    const amount = Math.min(MAX_BATCH, Math.floor(this.due));
    this.due -= amount;
    this.busy = true;
    this.running = this.send(Array.from({ length: amount }, () => this.make())).then(() => void (this.busy = false), fail);
  }

  private async send(payments: readonly Payment[]): Promise<void> {
    const at = Date.now();
    const places = await this.partitions.sendMany(PAYMENTS, payments.map((payment) => ({ key: payment.account, data: payment })));
    this.sent += payments.length;
    await this.bank.write(...payments.map((payment, i) => ({ mark: 'sent' as const, ...payment, partition: places[i]?.partition ?? -1, id: places[i]?.id ?? '0-0', at })));
  }

  private make(): Payment {
    const account = `account-${1 + Math.floor(Math.random() * ACCOUNTS)}`;
    const number = (this.numbers.get(account) ?? 0) + 1;
    this.numbers.set(account, number);
    return { account, number, cents: 100 + Math.floor(Math.random() * 50_000) };
  }
}

/** Going on would leave a gap in the numbers of an account, and every later payment of it would count as out of order. */
function fail(error: unknown): void {
  say('payer', 'error', '', `a payment could not be sent: ${String(error)}`);
  process.exit(1);
}
