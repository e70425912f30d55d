import { Controller, Get, NotFoundException } from '@nestjs/common';
import { type GroupAssignment, type PartitionLag, PartitionService, StreamNotRegisteredError } from 'nestjs-redis-streams';
import { readConfig } from '../config.js';
import { BOOKING, PAYMENTS } from '../payments/payment.js';

@Controller()
export class PartitionsController {
  private readonly group = { namespace: readConfig().service, stream: PAYMENTS, group: BOOKING };

  constructor(private readonly partitions: PartitionService) {}

  /** Who owns which partition of the payments, and how far behind each is. */
  @Get('partitions')
  async view(): Promise<{ readonly assignment: GroupAssignment; readonly lag: readonly PartitionLag[] }> {
    try {
      const [assignment, lag] = await Promise.all([this.partitions.assignment(this.group), this.partitions.lag(this.group)]);
      return { assignment, lag };
    } catch (error) {
      if (error instanceof StreamNotRegisteredError) throw new NotFoundException('there are payments only in the scenario rebalance');
      throw error;
    }
  }
}
