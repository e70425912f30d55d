import { setTimeout as sleep } from 'node:timers/promises';
import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { Register } from '../shop/register.js';
import { GET_ORDER, PLACED, type OrderRequest, type ShopOrder, WORK_MS } from '../shop/shop-order.js';

/** Keeps orders: the part of the demo that an application would write. */
@Controller()
export class OrderServiceController {
  constructor(private readonly register: Register) {}

  @EventPattern(PLACED)
  async placed(@Payload() order: ShopOrder): Promise<void> {
    await sleep(WORK_MS);
    await this.register.store(order);
  }

  @MessagePattern(GET_ORDER)
  async get(@Payload() { id }: OrderRequest): Promise<ShopOrder> {
    const order = await this.register.find(id);
    if (!order) throw new RpcException({ status: 404, message: `there is no order ${id}` });
    return order;
  }
}
