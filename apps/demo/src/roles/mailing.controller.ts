import { setTimeout as sleep } from 'node:timers/promises';
import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { Register } from '../shop/register.js';
import { PLACED, type ShopOrder, WORK_MS } from '../shop/shop-order.js';

/** Thanks for every order; gets the events besides the order service. */
@Controller()
export class MailingController {
  constructor(private readonly register: Register) {}

  @EventPattern(PLACED)
  async placed(@Payload() { order_id: id }: ShopOrder): Promise<void> {
    await sleep(WORK_MS);
    await this.register.mailed(id);
  }
}
