import { BadRequestException, Body, Controller, Get, Post } from '@nestjs/common';
import { type LeaseDeadLetter, LeaseService, type LeaseStats, type LeaseView } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { LedgerWriter } from '../ledger/ledger-writer.js';
import { DataStreams } from '../orders/data-streams.js';
import { makeOrder, orderSteps, PRIORITIES, type OrderInfo } from '../orders/order.js';

/** `{"priority": "high", "amount": 12.5, "customer_id": "me"}`, each of them optional. */
type NewOrder = Partial<Pick<OrderInfo, 'priority' | 'amount' | 'customer_id'>>;

@Controller()
export class OrdersController {
  private readonly service = readConfig().service;

  constructor(private readonly leases: LeaseService, private readonly data: DataStreams, private readonly ledger: LedgerWriter) {}

  @Post('streams')
  async create(@Body() body: unknown): Promise<{ stream: string; id: string; status: string; info: OrderInfo }> {
    const wishes = parse(body);
    const n = await this.data.reserve(1);
    const stream = `order-stream-${n}`;
    const info: OrderInfo = { ...makeOrder(n), ...wishes };
    await this.data.write([{ stream, entries: orderSteps(info) }]);
    const { id, status } = await this.leases.announce(this.service, stream, { ...info });
    await this.ledger.write({ mark: 'announced', entry: id, stream });
    return { stream, id, status, info };
  }

  @Get('stats')
  stats(): Promise<LeaseStats> {
    return this.leases.stats(this.service);
  }

  @Get('streams')
  list(): Promise<LeaseView[]> {
    return this.leases.list(this.service);
  }

  @Get('dead-letters')
  deadLetters(): Promise<LeaseDeadLetter[]> {
    return this.leases.deadLetters(this.service);
  }
}

function parse(body: unknown): NewOrder {
  if (body === undefined || body === null) return {};
  if (typeof body !== 'object' || Array.isArray(body)) throw new BadRequestException('the body must be a JSON object');
  const { priority, amount, customer_id } = body as Record<string, unknown>;
  if (priority !== undefined && !PRIORITIES.some((known) => known === priority)) throw new BadRequestException(`priority must be one of ${PRIORITIES.join(', ')}`);
  if (amount !== undefined && (typeof amount !== 'number' || amount < 0)) throw new BadRequestException('amount must be a number from 0');
  if (customer_id !== undefined && (typeof customer_id !== 'string' || customer_id === '')) throw new BadRequestException('customer_id must be a non-empty string');
  return Object.fromEntries(Object.entries({ priority, amount, customer_id }).filter(([, value]) => value !== undefined)) as NewOrder;
}
