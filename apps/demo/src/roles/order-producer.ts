import { Injectable } from '@nestjs/common';
import { LeaseService } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { LedgerWriter } from '../ledger/ledger-writer.js';
import { DataStreams } from '../orders/data-streams.js';
import { makeOrder, type OrderInfo, orderSteps } from '../orders/order.js';
import { say } from '../ui/lines.js';

const MAX_BATCH = 500;
const TICK_MS = 50;

/** Announces orders at a rate: writes each order's data stream first, then announces it. */
@Injectable()
export class OrderProducer {
  announced = 0;
  private readonly config = readConfig();
  private rate = this.config.rate;
  private due = 0;
  private last = performance.now();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly leases: LeaseService, private readonly data: DataStreams, private readonly ledger: LedgerWriter) {}

  start(): void {
    this.last = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  setRate(perSecond: number): void {
    this.rate = perSecond;
  }

  /** `count` at once, besides the rate. */
  burst(count: number): void {
    this.due += count;
  }

  /** Announces nothing new; what is being written is finished. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.running;
  }

  private busy = false;
  private tick(): void {
    const now = performance.now();
    this.due += ((now - this.last) * this.rate) / 1_000;
    this.last = now;
    if (this.busy || this.due < 1) return;
    const count = Math.min(MAX_BATCH, Math.floor(this.due));
    this.due -= count;
    this.busy = true;
    this.running = this.announce(count)
      .catch((error: unknown) => say('producer', 'error', '', String(error)))
      .finally(() => (this.busy = false));
  }

  private async announce(count: number): Promise<void> {
    const first = await this.data.reserve(count);
    const orders = Array.from({ length: count }, (_, i) => ({ stream: `order-stream-${first + i}`, info: makeOrder(first + i) }));
    await this.data.write(orders.map(({ stream, info }) => ({ stream, entries: orderSteps(info) })));
    const results = await this.leases.announceMany(this.config.service, orders.map(({ stream, info }) => ({ stream, info: { ...info } })));
    this.tell(orders);
    await this.ledger.write(...orders.map(({ stream }, i) => ({ mark: 'announced' as const, entry: results[i]?.id ?? '', stream })));
    this.announced += count;
  }

  private tell(orders: ReadonlyArray<{ stream: string; info: OrderInfo }>): void {
    if (this.config.quiet) return;
    if (orders.length > 5) say('producer', 'announced', `${orders.length} streams`, `${orders[0]?.stream} ... ${orders.at(-1)?.stream}`);
    else for (const { stream, info } of orders) say('producer', 'announced', stream, `${info.priority}, $${info.amount.toFixed(2)}, ${info.customer_id}`);
  }
}
