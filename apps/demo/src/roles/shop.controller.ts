import { Body, Controller, Get, NotFoundException, Param, Post, ServiceUnavailableException } from '@nestjs/common';
import { InjectStreamsClient, NoHandlerError, type RedisStreamsClient } from 'nestjs-redis-streams';
import { firstValueFrom } from 'rxjs';
import { DataStreams } from '../orders/data-streams.js';
import { makeOrder } from '../orders/order.js';
import { GET_ORDER, PLACED, type OrderRequest, type ShopOrder } from '../shop/shop-order.js';
import { parseWishes } from './wishes.js';

/** Orders as an event to whoever is interested, and as a request to who keeps them. */
@Controller('orders')
export class ShopController {
  constructor(@InjectStreamsClient() private readonly client: RedisStreamsClient, private readonly data: DataStreams) {}

  /** Answers when Redis has the event. */
  @Post()
  async place(@Body() body: unknown): Promise<ShopOrder> {
    const order: ShopOrder = { ...makeOrder(await this.data.reserve(1)), ...parseWishes(body) };
    await this.client.emitAsync(PLACED, order);
    return order;
  }

  @Get(':id')
  async find(@Param('id') id: string): Promise<ShopOrder> {
    const request: OrderRequest = { id };
    try {
      return await firstValueFrom(this.client.send<ShopOrder>(GET_ORDER, request));
    } catch (error) {
      if (error instanceof NoHandlerError) throw new ServiceUnavailableException('there is an order service only in the scenario transport');
      // What its RpcException was made of.
      const { status, message } = error as { readonly status?: unknown; readonly message?: string };
      if (status === 404) throw new NotFoundException(message);
      throw error;
    }
  }
}
