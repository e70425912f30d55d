import { Body, Controller, Get, Post } from '@nestjs/common';
import { type LeaseDeadLetter, LeaseService, type LeaseStats, type LeaseView } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { LedgerWriter } from '../ledger/ledger-writer.js';
import { DataStreams } from '../orders/data-streams.js';
import { makeOrder, orderSteps, type OrderInfo } from '../orders/order.js';
import { parseWishes } from './wishes.js';

@Controller()
export class OrdersController {
  private readonly service = readConfig().service;

  constructor(private readonly leases: LeaseService, private readonly data: DataStreams, private readonly ledger: LedgerWriter) {}

  @Post('streams')
  async create(@Body() body: unknown): Promise<{ stream: string; id: string; status: string; info: OrderInfo }> {
    const wishes = parseWishes(body);
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
